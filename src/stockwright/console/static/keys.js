// The keyboard: j and k walk the rows of a page, Enter opens one, x selects it, ? tells all of it.

const HELP = [
  ["j, k", "next, previous row"],
  ["Enter", "open the row"],
  ["x", "select the row"],
  ["a", "select all rows of the page"],
  ["/", "search"],
  ["r", "show the page as it is now"],
  ["u", "take back what was just done"],
  ["g then o, i, l, s, w, p, r, c, a", "go to overview, items, publishing (levels), subscriptions, work, parked, reservations, API log (calls), audit"],
  ["Esc", "leave a field, close what is open"],
  ["?", "this help"],
];
const GO = { o: "/", i: "/items", l: "/publications", s: "/subscriptions", w: "/work-items", p: "/parked", r: "/reservations", c: "/api-log", a: "/audit" };

let here = null;
let going = 0;

const rows = () => [...document.querySelectorAll("main tr[data-row]")].filter((row) => row.offsetParent);

function step(by) {
  const list = rows();
  if (!list.length) return;
  const at = list.indexOf(here);
  here?.classList.remove("here");
  here = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))];
  here.classList.add("here");
  here.scrollIntoView({ block: "nearest" });
  here.querySelector("[data-open]")?.focus({ preventScroll: true });
}

function select() {
  here?.querySelector('input[name="id"]')?.click();
}

function help() {
  const dialog = document.createElement("dialog");
  dialog.className = "explanation keys-help";
  dialog.setAttribute("aria-label", "Keys");
  const title = document.createElement("h1");
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [key, meaning] of HELP) {
    const term = document.createElement("dt");
    const mark = document.createElement("kbd");
    mark.textContent = key;
    term.append(mark);
    const told = document.createElement("dd");
    told.textContent = meaning;
    list.append(term, told);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "close";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(close, title, list);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function search() {
  const field = document.getElementById("search");
  field?.focus();
  field?.select();
  return Boolean(field);
}

const KEYS = {
  "/": search,
  "?": help,
  j: () => step(1),
  k: () => step(-1),
  x: select,
  a: () => document.querySelector("[data-select-page]")?.click(),
  r: () => location.reload(),
  u: () => document.querySelector("[data-undo]")?.click(),
  g: () => (going = Date.now()),
};

export function listen() {
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape") {
      if (field) field.blur();
      for (const open of document.querySelectorAll("details.me[open], details.save[open]")) {
        // The focus goes back to what opened it, not to the top of the page.
        if (open.contains(event.target)) open.querySelector("summary").focus();
        open.open = false;
      }
      here?.classList.remove("here");
      here = null;
      return;
    }
    if (field || event.target.closest?.("dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (Date.now() - going < 1500 && event.key in GO) {
      going = 0;
      event.preventDefault();
      location.href = GO[event.key];
      return;
    }
    if (event.key === "Enter" && here && !event.target.closest?.("a, button, summary")) {
      here.querySelector("[data-open]")?.click();
      return;
    }
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  // A click beside an open menu closes it.
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.me[open], details.save[open]"))
      if (!open.contains(event.target)) open.open = false;
  });
}
