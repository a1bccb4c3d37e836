// Optional. Shows the copy buttons where the browser can copy; without it the text can still be selected.
"use strict";
(() => {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button[data-copies]")) {
    const source = document.getElementById(button.dataset.copies);
    const words = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
      window.setTimeout(() => { button.textContent = words; }, 2000);
    });
  }
})();
