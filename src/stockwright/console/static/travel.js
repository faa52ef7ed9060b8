// The slider of an item's page: each step is a moment at which something of the item changed.

import { leave, swap } from "./live.js";

export function travel(form) {
  const slider = form.querySelector("input[type=range]");
  const label = form.querySelector("output");
  let steps = JSON.parse(form.dataset.steps);
  let under_way = null;
  slider.closest("label").hidden = false;

  const tell = () => {
    const said = steps[slider.value]?.[1] ?? "";
    label.textContent = said;
    slider.setAttribute("aria-valuetext", said);
  };

  const load = async () => {
    const at = steps[slider.value]?.[0] ?? "";
    if (at === form.dataset.at) return;
    const address = new URL(location.href);
    for (const name of ["at", "before"]) address.searchParams.delete(name);
    address.hash = "";
    // Now is a living page: it is loaded as one.
    if (!at) return location.assign(address);
    address.searchParams.set("at", at);
    under_way?.abort();
    under_way = new AbortController();
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" }, signal: under_way.signal });
      if (answer.redirected) return location.assign(address);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const newer = fresh.querySelector("[data-travel]");
      if (!newer) return location.assign(address);
      leave();
      history.replaceState(null, "", address);
      swap(fresh);
      document.querySelector("footer").replaceChildren(...fresh.querySelector("footer").childNodes);
      stand(newer);
    } catch (failure) {
      if (failure.name !== "AbortError") location.assign(address);
    }
  };

  // The steps around the new moment; the slider stays where the hand and the focus are.
  const stand = (newer) => {
    steps = JSON.parse(newer.dataset.steps);
    form.dataset.at = newer.dataset.at;
    slider.max = steps.length - 1;
    slider.value = newer.dataset.place;
    form.querySelector("input[name=at]").value = newer.querySelector("input[name=at]").value;
    tell();
  };

  slider.addEventListener("input", tell);
  slider.addEventListener("change", load);
}
