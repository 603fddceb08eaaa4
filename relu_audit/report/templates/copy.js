// Copying text: reluCopy(text, button) says on the button that it is done. Buttons with data-copy copy what they name.
const reluCopy = (() => {
  "use strict";

  const said = document.createElement("span");
  said.className = "away";
  said.setAttribute("role", "status");
  document.body.append(said);

  // Where a browser gives pages from disk no clipboard.
  const byHand = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "away";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };

  const copy = async (text, button) => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = byHand(text);
    }
    button.dataset.label ??= button.textContent;
    button.textContent = said.textContent = done ? "Copied" : "Not copied: select it by hand";
    button.focus();
    setTimeout(() => {
      button.textContent = button.dataset.label;
      said.textContent = "";
    }, 2000);
  };

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", () => copy(document.getElementById(button.dataset.copy).textContent, button));
  }
  return copy;
})();

// Rows of cells as spreadsheets take them from the clipboard; a name must not become a formula there.
const reluTabs = (rows) => {
  "use strict";
  const plain = (text) => text.replace(/\s+/g, " ").trim().replace(/^(?=[=+@\t]|-(?!\d))/, "'");
  return rows.map((cells) => cells.map((cell) => plain(String(cell))).join("\t")).join("\n");
};
