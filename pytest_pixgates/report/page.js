// Filters, and a printed page that hides nothing. The page says all of it without this script, too.
"use strict";
(() => {
  const form = document.getElementById("filters");
  const gates = [...document.querySelectorAll("details.gate")];
  const groups = [...document.querySelectorAll("section.family")];
  const said = document.getElementById("shown");
  const words = gates.map((gate) => gate.textContent.toLowerCase());

  const apply = () => {
    const family = form.elements.family.value;
    const outcome = form.elements.outcome.value;
    const text = form.elements.text.value.trim().toLowerCase();
    let shown = 0;
    gates.forEach((gate, at) => {
      const fits =
        (!family || gate.dataset.family === family) &&
        (!outcome || gate.dataset.outcome === outcome) &&
        (!text || words[at].includes(text));
      gate.hidden = !fits;
      shown += fits;
    });
    groups.forEach((group) => {
      group.hidden = !group.querySelector("details.gate:not([hidden])");
    });
    said.textContent = shown === gates.length ? `${shown} gates` : `${shown} of ${gates.length} gates`;
  };

  const opened = [];
  const open = (details) => {
    for (let each = details; each; each = each.parentElement.closest("details")) each.open = true;
  };
  const reveal = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) {
      form.reset();
      apply();
    }
    open(target.closest("details"));
    target.scrollIntoView();
  };

  if (form) {
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    apply();
  }
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((each) => opened.push(each));
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.splice(0).forEach((each) => { each.open = false; });
  });
  reveal();
})();
