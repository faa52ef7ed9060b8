// A list that people work through: select rows, move by keys, and never a row that jumps away under
// the cursor: what changed meanwhile is announced, and shown when asked for.

export function work(form) {
  const boxes = () => [...form.querySelectorAll('input[name="id"]')];
  const page = form.querySelector("[data-select-page]");
  const all = form.querySelector("[data-select-all]");
  const told = form.querySelector("[data-selected]");
  let last = null;

  const count = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    const everything = all?.checked;
    if (told) told.textContent = everything ? "All that match" : chosen ? `${chosen} selected` : "Select rows";
    for (const button of form.querySelectorAll("[data-needs-selection]")) button.disabled = !chosen && !everything;
    if (page) {
      page.checked = chosen > 0 && chosen === boxes().length;
      page.indeterminate = chosen > 0 && !page.checked;
    }
  };
  if (page) page.hidden = false;
  form.addEventListener("change", (event) => {
    if (event.target === page) for (const box of boxes()) box.checked = page.checked;
    if (event.target === all) for (const box of boxes()) box.checked = all.checked;
    if (event.target.name === "id" && all) all.checked = false;
    count();
  });
  // Shift marks a stretch, as people know it.
  form.addEventListener("click", (event) => {
    if (event.target.name !== "id") return;
    const list = boxes();
    if (event.shiftKey && last && list.includes(last)) {
      const [from, to] = [list.indexOf(last), list.indexOf(event.target)].sort((a, b) => a - b);
      for (const box of list.slice(from, to + 1)) box.checked = event.target.checked;
    }
    last = event.target;
  });
  // Back from another page a browser restores the boxes after this ran.
  addEventListener("pageshow", count);
  count();
}

// Whether somebody is in the middle of something that a new list would disturb.
export function busy(form) {
  return Boolean(
    form.querySelector('input[name="id"]:checked, [data-select-all]:checked') ||
      document.querySelector("tr.here, details[open], dialog[open]") ||
      form.matches(":hover") ||
      form.contains(document.activeElement),
  );
}

export function announce(form) {
  const line = form.querySelector("[data-changed]");
  if (line) line.hidden = false;
}
