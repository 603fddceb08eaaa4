// Tables marked data-sortable: column headers become buttons that sort the rows. With data-filter, the name of what the
// rows are, a box above the table filters them and tells how many are left; with it comes a button that copies them.
(() => {
  "use strict";

  const collator = new Intl.Collator("en", { numeric: true });

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  };

  // Cells without a value come last in either direction.
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const difference = Number(a) - Number(b);
    return sign * (Number.isNaN(difference) ? collator.compare(a, b) : difference);
  };

  const sort = (table, header) => {
    const body = table.tBodies[0];
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [key(row, header.cellIndex), row]);
    rows.sort((a, b) => compare(a[0], b[0], descending ? -1 : 1));
    body.append(...rows.map((pair) => pair[1]));
  };

  const make = (tag, fields, ...children) => {
    const element = Object.assign(document.createElement(tag), fields);
    element.append(...children);
    return element;
  };

  const filtering = (table) => {
    const noun = table.dataset.filter;
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const box = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const left = make("span", { className: "left" });
    const button = make("button", { type: "button" }, `Copy these ${noun}`);
    left.setAttribute("role", "status");

    const filter = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, i) => (row.hidden = !words.every((word) => texts[i].includes(word))));
      left.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${noun}`;
    };

    box.addEventListener("input", filter);
    button.addEventListener("click", () => {
      const shown = [table.tHead.rows[0], ...table.tBodies[0].rows].filter((row) => !row.hidden);
      reluCopy(reluTabs(shown.map((row) => [...row.cells].map((cell) => cell.textContent))), button);
    });
    const label = make("label", {}, "Filter ", box);
    (table.closest(".scroll") ?? table).before(make("div", { className: "controls" }, label, left, button));
    filter();
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    for (const header of table.tHead.rows[0].cells) {
      if ("unsortable" in header.dataset) continue;
      const button = make("button", { type: "button" }, ...header.childNodes);
      button.addEventListener("click", () => sort(table, header));
      header.append(button);
    }
    table.tHead.rows[0].cells[0].setAttribute("aria-sort", "ascending");
    if (table.dataset.filter) filtering(table);
  }
})();
