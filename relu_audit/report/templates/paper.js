// On paper: light colours, the cells drawn in them, every folded list open.
(() => {
  "use strict";

  let opened = [];

  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
    document.documentElement.classList.add("on-paper");
    document.dispatchEvent(new Event("paper"));
  });

  window.addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
    document.documentElement.classList.remove("on-paper");
    document.dispatchEvent(new Event("colours"));
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("colours")));
})();
