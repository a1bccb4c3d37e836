// Optional. Fetches anew, every two seconds, the parts of a page that say where they come from, until they no longer do.
"use strict";
(() => {
  const EVERY = 2000;
  const AT_MOST = 900; // half an hour; then the link to refresh is there again

  function watch(part, asked) {
    const link = part.querySelector(".refresh");
    if (link) link.hidden = asked < AT_MOST;
    if (asked >= AT_MOST) return;
    window.setTimeout(async () => {
      if (document.hidden) return watch(part, asked);
      let text = "";
      try {
        const answer = await fetch(part.dataset.live, { credentials: "same-origin", redirect: "error" });
        if (answer.ok) text = await answer.text();
      } catch {
        // the site is away for a moment
      }
      if (!text) return watch(part, asked + 1);
      const fresh = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
      if (fresh.innerHTML !== part.dataset.before) {
        const before = fresh.innerHTML;
        part.innerHTML = before;
        part.dataset.before = before;
      }
      if (fresh.dataset.live) return watch(part, asked + 1);
      delete part.dataset.live;
    }, EVERY);
  }

  for (const part of document.querySelectorAll("[data-live]")) watch(part, 0);
})();
