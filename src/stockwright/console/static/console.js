// What every page of the console does in the browser. Pages work without it; with it they are live,
// numbers are explained in place, and "/" goes to the search.

import { follow } from "./live.js";
import { explainInPlace } from "./why.js";

const search = document.getElementById("search");

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
  if (event.key === "Escape" && event.target === search) search.blur();
});

explainInPlace(document);
if (document.body.dataset.stream) follow(document.body.dataset);
