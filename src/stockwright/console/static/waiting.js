// What is still computed is looked for each second, and put in place once it is there. What somebody
// types meanwhile stays: only the parts that wait are replaced.

export function awaitParts() {
  if (document.querySelector("[data-await]")) setTimeout(look, 1000);
}

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected || !answer.ok) throw new Error("signed out");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-await]")) renew(part, page.getElementById(part.id));
  } catch {
    // Too busy, or signed out: the page says so when it is loaded again.
    if (document.visibilityState === "visible") setTimeout(look, 5000);
    return;
  }
  awaitParts();
}

function renew(part, now) {
  if (!now) return part.removeAttribute("data-await");
  const said = part.querySelector("[data-progress]");
  const says = now.querySelector("[data-progress]");
  if (said && says) {
    if (said.textContent !== says.textContent) said.textContent = says.textContent;
  } else if (!now.dataset.await) {
    part.replaceWith(now);
  }
}
