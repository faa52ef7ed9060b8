// Keeps a page true: texts by cell as they change, the page's parts anew when its shape differs.

import { announce, busy } from "./board.js";

const badge = document.getElementById("live");
const RETRY_MS = 3000;
let left = false;

// A page that looks at the past follows no more; whoever goes back to now loads the page.
export function leave() {
  left = true;
  document.dispatchEvent(new Event("visibilitychange"));
  if (badge) say("off", "standing still");
}

export function follow(page) {
  let source = null;
  let timer = 0;
  const open = () => {
    clearTimeout(timer);
    source?.close();
    if (left) return;
    source = new EventSource(page.stream);
    source.addEventListener("cells", (event) => receive(page, JSON.parse(event.data)));
    source.addEventListener("open", () => say("on", "live"));
    source.addEventListener("error", () => {
      say("off", "reconnecting");
      // A browser gives up for good on an answer that is not a stream; we do not.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY_MS);
    });
  };
  // A hidden page holds no connection: browsers allow few to one host.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden || left) {
      source?.close();
      if (!left) say("off", "paused");
    } else open();
  });
  if (!document.hidden) open();
}

function say(state, text) {
  badge.dataset.live = state;
  badge.textContent = text;
}

function receive(page, { shape, cells }) {
  if (shape !== page.shape) {
    page.shape = shape;
    const board = document.querySelector("[data-board]");
    if (board && busy(board)) announce(board);
    else renew();
    return;
  }
  for (const [name, text] of Object.entries(cells)) {
    for (const cell of document.querySelectorAll(`[data-cell="${CSS.escape(name)}"]`)) {
      if (cell.textContent === text) continue;
      cell.textContent = text;
      if ("state" in cell.dataset) cell.dataset.state = text;
    }
  }
}

let renewing = false;
let again = false;

async function renew() {
  if (left) return;
  if (renewing) {
    again = true;
    return;
  }
  renewing = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return location.reload();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!left) swap(fresh);
  } catch {
    again = true;
  } finally {
    renewing = false;
  }
  if (again) {
    again = false;
    setTimeout(renew, RETRY_MS);
  }
}

// Runs of a timeline that are open, as the first and last number of each.
const openFolds = (root) =>
  [...root.querySelectorAll("details[data-fold][open]")].map((one) => one.dataset.fold.split(" ").map(Number));

// Parts by name where the page has them, else its whole content; focus, scrolling and what is open stay.
export function swap(fresh) {
  const parts = document.querySelectorAll("[data-part]");
  if (!parts.length) {
    document.querySelector("main").replaceChildren(...fresh.querySelector("main").childNodes);
    return;
  }
  const focused = document.activeElement?.getAttribute("href");
  for (const part of parts) {
    const name = part.dataset.part;
    const newer = fresh.querySelector(`[data-part="${CSS.escape(name)}"]`);
    if (!newer) continue;
    const aside = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const open = openFolds(part);
    part.replaceChildren(...newer.childNodes);
    for (const fold of open.length ? part.querySelectorAll("details[data-fold]") : []) {
      const [first, last] = fold.dataset.fold.split(" ").map(Number);
      fold.open = open.some(([from, to]) => from <= last && first <= to);
    }
    [...part.querySelectorAll(".scroll")].forEach((box, n) => (box.scrollLeft = aside[n] ?? 0));
  }
  for (const form of document.querySelectorAll("[data-board]")) {
    const upto = fresh.querySelector("[name=upto]");
    if (upto) form.querySelector("[name=upto]").value = upto.value;
    form.dispatchEvent(new Event("change"));
  }
  if (focused && document.activeElement === document.body) {
    document.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}
