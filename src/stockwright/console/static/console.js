// What every page of the console does in the browser. Pages work without it; with it they are live,
// numbers are explained in place, and the keyboard reaches everything.

import { work } from "./board.js";
import { listen } from "./keys.js";
import { follow } from "./live.js";
import { travel } from "./travel.js";
import { awaitParts } from "./waiting.js";
import { explainInPlace } from "./why.js";

listen();
explainInPlace(document);
awaitParts();
for (const form of document.querySelectorAll("[data-board]")) work(form);
for (const form of document.querySelectorAll("[data-travel]")) travel(form);
// What failed in a payload is in sight at once.
const fault = document.getElementById("fault");
const box = fault?.closest(".raw");
if (box) box.scrollTop = fault.offsetTop - box.offsetTop - box.clientHeight / 3;
if (document.body.dataset.stream) follow(document.body.dataset);
