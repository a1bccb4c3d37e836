// Optional. Without it every mark still has its browser tooltip and its row in the table.
"use strict";
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // the mark's own label says the same
  document.body.append(tip);

  const words = new WeakMap();
  const marks = document.querySelectorAll("[data-tip]");
  for (const mark of marks) {
    const title = mark.querySelector("title");
    words.set(mark, title ? title.textContent.trim() : "");
    if (title) title.remove(); // two tooltips at once would cover each other
    mark.setAttribute("aria-label", words.get(mark));
  }

  function show(mark) {
    tip.textContent = words.get(mark);
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), window.innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : Math.min(box.bottom + 8, window.innerHeight - tip.offsetHeight - 8)}px`;
  }
  const hide = () => { tip.hidden = true; };
  const markOf = (event) => event.target.closest?.("[data-tip]");

  document.addEventListener("pointerover", (event) => { const mark = markOf(event); if (mark) show(mark); else hide(); });
  document.addEventListener("focusin", (event) => { const mark = markOf(event); if (mark) show(mark); else hide(); });
  document.addEventListener("focusout", hide);
  // Focusing a mark may scroll the page to it: its words go along.
  document.addEventListener("scroll", () => { const mark = markOf({ target: document.activeElement }); if (mark) show(mark); else hide(); }, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const mark = step && markOf(event);
    if (!mark) return;
    const all = [...mark.closest("svg").querySelectorAll("a[data-tip]")];
    const next = all[all.indexOf(mark) + step];
    if (next) { event.preventDefault(); next.focus(); }
  });
})();
