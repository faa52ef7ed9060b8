// Every number is a link to its explanation; here it opens over the page instead of leaving it.

export function explainInPlace(root) {
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-why]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    show(link);
  });
}

async function show(link) {
  let content;
  try {
    const answer = await fetch(link.href, { headers: { accept: "text/html" } });
    if (answer.redirected) throw new Error("signed out");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    content = page.querySelector("main");
  } catch {
    location.href = link.href;
    return;
  }
  const dialog = document.createElement("dialog");
  dialog.className = "explanation";
  dialog.setAttribute("aria-label", "Explanation");
  const close = document.createElement("button");
  close.type = "button";
  close.className = "close";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(close, ...content.childNodes);
  // A click beside the box closes it, as people expect.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    dialog.remove();
    const back = link.isConnected
      ? link
      : document.querySelector(`a[href="${CSS.escape(link.getAttribute("href"))}"]`);
    back?.focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
}
