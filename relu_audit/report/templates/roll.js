// The table of units: all of them from the cells' data, a page of rows at a time, filtered and sorted.
(() => {
  "use strict";

  const table = document.getElementById("roll");
  if (!table) return;

  const size = 25; // rows of a page, as many as stand there without a script
  const { layers, statuses, measured, percent, count, evidence, cause, causeOf, certain } = reluUnits;
  const part = (name) => document.getElementById(`roll-${name}`);
  const [box, byLayer, byStatus, byCause] = [part("filter"), part("layer"), part("status"), part("cause")];

  // A unit is one number: its layer's first, plus its place in the layer.
  const starts = [];
  let total = 0;
  for (const layer of layers) {
    starts.push(total);
    total += layer.units;
  }
  const layerOf = new Uint32Array(total);
  starts.forEach((start, i) => layerOf.fill(i, start, start + layers[i].units));
  const at = (one) => [layers[layerOf[one]], one - starts[layerOf[one]]];

  // What each column sorts by; null comes last in either direction.
  const keys = {
    layer: (layer) => layer.depth,
    unit: (_, unit) => unit,
    status: (layer, unit) => layer.status[unit],
    fired: (layer, unit) => layer.fired[unit],
    rate: (layer, unit) => (layer.samples ? layer.fired[unit] / layer.samples : null),
    peak: (layer, unit) => layer.peak[unit] || null,
    mean: (layer, unit) => layer.mean[unit] || null,
    pre: (layer, unit) => layer.pre[unit] || null,
    cause: (layer, unit) => layer.reason[unit] || null,
    margin: (layer, unit) => layer.margin[unit] || null,
  };

  // As clipped() in names.py does it.
  const clipped = (name) => {
    const letters = [...name];
    return letters.length <= 100 ? name : `${letters.slice(0, 20).join("")}...${letters.slice(-77).join("")}`;
  };

  const cellsOf = (one) => {
    const [layer, unit] = at(one);
    const fired = layer.fired[unit];
    return [
      `${layer.depth} ${layer.name}`,
      String(unit),
      statuses[layer.status[unit]].replace("_", " "),
      `${count(fired)} of ${count(layer.samples)}`,
      layer.samples ? percent(fired / layer.samples) : "\u2013",
      ...[layer.peak, layer.mean, layer.pre].map((column) => measured(column[unit]) ?? "\u2013"),
      cause(layer, unit) ?? "\u2013",
      measured(layer.margin[unit]) ?? "\u2013",
      evidence(layer, unit),
    ];
  };

  // ---- choosing

  let chosen = [];
  let page = 0;
  let order = null; // column and direction, or as the model has them

  const wanted = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const numbers = new Set(words.filter((word) => /^\d+$/.test(word)).map(Number));
    const names = words.filter((word) => !/^\d+$/.test(word));
    const status = statuses.indexOf(byStatus.value);
    const why = byCause.value;
    return (layer, unit) =>
      (!byStatus.value || (byStatus.value === "once" ? layer.fired[unit] === 1 : layer.status[unit] === status)) &&
      (!why || (why === "certain" ? certain(layer, unit) : causeOf(layer, unit) === Number(why))) &&
      (!numbers.size || numbers.has(unit)) &&
      names.every((word) => layer.name.toLowerCase().includes(word));
  };

  const choose = () => {
    const fits = wanted();
    chosen = [];
    for (const [i, layer] of layers.entries()) {
      if (byLayer.value && Number(byLayer.value) !== layer.depth) continue;
      for (let unit = 0; unit < layer.units; unit++) if (fits(layer, unit)) chosen.push(starts[i] + unit);
    }
    if (order) {
      const known = [];
      const unknown = [];
      const values = new Float64Array(total);
      for (const one of chosen) {
        const value = keys[order.key](...at(one));
        values[one] = value;
        (value === null ? unknown : known).push(one);
      }
      known.sort((a, b) => order.sign * (values[a] - values[b]) || a - b);
      chosen = known.concat(unknown);
    }
    page = 0;
    show();
  };

  // ---- showing

  const heads = [...table.tHead.rows[0].cells];

  const row = (one) => {
    const line = document.createElement("tr");
    cellsOf(one).forEach((text, i) => {
      const cell = document.createElement(i === 1 ? "th" : "td");
      if (i === 1) cell.scope = "row";
      if (heads[i].className) cell.className = heads[i].className;
      if (i === 0) {
        const link = document.createElement("a");
        const name = document.createElement("bdi");
        name.className = "name";
        const whole = layers[layerOf[one]].name;
        name.textContent = clipped(whole.trim()) || "(no name)";
        name.title = whole;
        link.href = `#layer-${layers[layerOf[one]].depth}`;
        link.append(`${layers[layerOf[one]].depth} `, name);
        cell.append(link);
      } else {
        cell.textContent = text;
      }
      line.append(cell);
    });
    return line;
  };

  const show = () => {
    const pages = Math.max(1, Math.ceil(chosen.length / size));
    table.tBodies[0].replaceChildren(...chosen.slice(page * size, (page + 1) * size).map(row));
    part("count").textContent = `${count(chosen.length)} of ${count(total)} units`;
    part("page").textContent = `Page ${count(page + 1)} of ${count(pages)}`;
    part("back").disabled = page === 0;
    part("on").disabled = page + 1 >= pages;
  };

  const turn = (by) => {
    page += by;
    show();
    table.closest(".scroll").scrollIntoView({ block: "nearest" });
  };

  // ---- start

  for (const header of heads) {
    if (!header.dataset.key) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      order = { key: header.dataset.key, sign: descending ? -1 : 1 };
      choose();
    });
    header.append(button);
  }
  heads[0].setAttribute("aria-sort", "ascending");
  table.caption.textContent = "Units";
  table.caption.className = "away"; // the line above the table says more

  let waiting = 0;
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 60);
  });
  for (const one of [byLayer, byStatus, byCause]) one.addEventListener("change", choose);
  part("back").addEventListener("click", () => turn(-1));
  part("on").addEventListener("click", () => turn(1));
  part("copy").addEventListener("click", () => {
    const titles = heads.map((cell) => cell.textContent);
    reluCopy(reluTabs([titles, ...chosen.map(cellsOf)]), part("copy"));
  });
  // Counts of dead units elsewhere on the page lead here, to the units that they count.
  for (const link of document.querySelectorAll("a[data-cause]")) {
    link.addEventListener("click", () => {
      byLayer.value = link.closest("[data-layer]")?.dataset.layer ?? "";
      [byCause.value, byStatus.value, box.value] = [link.dataset.cause, "dead", ""];
      choose();
    });
  }
  choose();
})();
