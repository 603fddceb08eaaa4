// Every unit as a cell on a canvas per layer. What the data- attributes hold is told by Cells and Mark in html.py.
(() => {
  "use strict";

  const host = document.querySelector(".bulbs");
  if (!host) return;

  const size = Number(host.dataset.cell);
  const lowest = Number(host.dataset.lowest);
  const gap = size > 8 ? 2 : 1;
  const tallest = 16000; // pixels of a canvas's side, under the least that a browser allows
  const cursor = document.getElementById("unit-cursor");
  const card = document.getElementById("unit-card");
  const layers = [];

  // ---- reading

  const place = new Map([..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].map((c, i) => [c, i]));

  const number = (text, width, unit) => {
    let value = 0;
    for (let i = unit * width; i < (unit + 1) * width; i++) value = value * 64 + place.get(text[i]);
    return value;
  };

  // As measured() in html.py writes it; null where there is none.
  const measured = (code) => {
    if (!code) return null;
    const sign = code < 1 << 17 ? "\u2212" : "";
    const rank = Math.abs(code - (1 << 17));
    if (!rank) return "0";
    if (rank === 1) return sign + "1e-72 or less";
    if (rank === 2 + 900 * 145) return sign + "1e73 or more";
    const exponent = Math.floor((rank - 2) / 900) - 72;
    const digits = 100 + ((rank - 2) % 900);
    return sign + (exponent >= -5 && exponent < 9 ? Number(`${digits}e${exponent - 2}`) : `${digits / 100}e${exponent}`);
  };

  // As percent() in numbers.py writes it: not 0 or 100 when it is neither; halves go to the even digit.
  const percent = (fraction) => {
    const value = 100 * fraction;
    if (value === 0 || value === 100) return `${value} %`;
    if (value < 0.1) return "<0.1 %";
    if (value > 99.9) return ">99.9 %";
    return `${(value % 1 === 0.25 ? value - 0.05 : value).toFixed(1)} %`;
  };

  const read = (canvas) => {
    const { counted, counts, countsWidth, prePeaks, peaks, low, high } = canvas.dataset;
    const [units, samples] = [Number(canvas.dataset.units), Number(canvas.dataset.samples)];
    const count = (unit) => number(counts, Number(countsWidth), unit);
    const pre = (unit) => (prePeaks ? number(prePeaks, 3, unit) : 0);
    const implied = (code) => code && Math.min(Math.max(code, Number(low)), Number(high));
    return {
      canvas,
      counted,
      units,
      samples,
      status: (unit) => Math.floor(count(unit) / (samples + 1)),
      fired: (unit) => count(unit) % (samples + 1),
      pre,
      peak: (unit) => (peaks ? number(peaks, 3, unit) : implied(pre(unit))),
      columns: 1,
      at: 0,
    };
  };

  const rare = Number(host.dataset.rare);
  const marks = new Map();
  for (const path of document.querySelectorAll("[data-index]")) {
    const { index, status } = path.dataset;
    marks.set(Number(index), { status: status.replace("_", " "), hollow: "hollow" in path.dataset, shape: path.getAttribute("d") });
  }

  const describe = (layer, unit) => {
    const status = marks.get(layer.status(unit))?.status ?? (layer.status(unit) === rare ? "rare" : "active");
    const lines = [`Unit ${unit}: ${status}`];
    if (layer.samples) {
      const fired = layer.fired(unit);
      const one = layer.samples === 1 ? layer.counted.slice(0, -1) : layer.counted;
      lines.push(`fired in ${fired.toLocaleString("en")} of ${layer.samples.toLocaleString("en")} ${one}, ${percent(fired / layer.samples)}`);
    } else {
      lines.push("no sample reached it");
    }
    lines.push(`peak ${measured(layer.peak(unit)) ?? "not known"}`);
    lines.push(`pre-activation peak ${measured(layer.pre(unit)) ?? "not known"}`);
    return lines.join("\n");
  };

  // ---- drawing

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const stops = [0, 1, 2, 3, 4].map((i) => colour(`--ramp-${i}`).match(/[0-9a-f]{2}/gi).map((c) => parseInt(c, 16)));
    const ramp = Array.from({ length: 129 }, (_, i) => {
      const [from, share] = [Math.min(i >> 5, 3), i / 32 - Math.min(i >> 5, 3)];
      return `rgb(${stops[from].map((c, k) => Math.round(c + share * (stops[from + 1][k] - c))).join()})`;
    });
    return { ramp, ink: colour("--ink"), paper: colour("--paper"), bad: colour("--bad") };
  };

  // The place of a firing rate on the logarithmic scale, 0 to 128.
  const step = (rate) => Math.round(128 * Math.min(Math.max(1 - Math.log10(rate) / lowest, 0), 1));

  const draw = (layer, look) => {
    const { canvas, units } = layer;
    const room = Math.floor((canvas.parentElement.clientWidth - 6) / size);
    const round = room >= 32 ? 16 : 8; // units in a row, so that an index can be told from its place
    const fitting = room > round ? room - (room % round) : Math.max(room, 1);
    layer.columns = Math.max(1, Math.min(units, Math.max(fitting, Math.ceil((units * size) / tallest))));
    const [width, height] = [layer.columns * size, Math.ceil(units / layer.columns) * size];
    const scale = size > 8 ? Math.max(1, Math.min(window.devicePixelRatio, tallest / height)) : 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    const inner = size - gap;
    for (let unit = 0; unit < units; unit++) {
      const mark = marks.get(layer.status(unit));
      pen.setTransform(scale, 0, 0, scale, (unit % layer.columns) * size * scale, Math.floor(unit / layer.columns) * size * scale);
      if (!mark?.hollow) {
        pen.fillStyle = look.ramp[step(layer.fired(unit) / layer.samples)];
        pen.fillRect(0, 0, inner, inner);
      }
      if (!mark) continue;
      pen.strokeStyle = mark.status === "faulty" ? look.bad : mark.hollow ? look.ink : look.paper;
      if (size > 5) {
        pen.scale(inner / 10, inner / 10);
        pen.lineWidth = (mark.hollow ? 10 : 15) / inner;
        pen.stroke(mark.path);
      } else if (mark.hollow) {
        pen.lineWidth = 1;
        pen.strokeRect(0.5, 0.5, inner - 1, inner - 1);
      }
    }
  };

  const drawAll = () => {
    hide();
    const look = colours();
    for (const layer of layers) draw(layer, look);
  };

  // ---- pointing

  const hide = () => {
    cursor.hidden = card.hidden = true;
  };

  const show = (layer, unit) => {
    if (!layer.units) return;
    layer.at = Math.min(Math.max(unit, 0), layer.units - 1);
    const [left, top] = [(layer.at % layer.columns) * size, Math.floor(layer.at / layer.columns) * size];
    const text = describe(layer, layer.at);
    layer.canvas.setAttribute("aria-valuenow", layer.at);
    layer.canvas.setAttribute("aria-valuetext", text.replaceAll("\n", ", "));
    layer.canvas.parentElement.append(cursor);
    cursor.hidden = card.hidden = false;
    Object.assign(cursor.style, {
      left: `${layer.canvas.offsetLeft + left - 3}px`,
      top: `${layer.canvas.offsetTop + top - 3}px`,
      width: `${size - gap + 6}px`,
      height: `${size - gap + 6}px`,
    });
    card.textContent = text;
    const cell = cursor.getBoundingClientRect();
    const page = document.documentElement;
    const below = cell.bottom + 8 + card.offsetHeight < page.clientHeight;
    card.style.left = `${Math.max(8, Math.min(cell.left, page.clientWidth - card.offsetWidth - 8))}px`;
    card.style.top = `${below ? cell.bottom + 8 : cell.top - 8 - card.offsetHeight}px`;
  };

  const pointed = (layer, event) => {
    const column = Math.floor(event.offsetX / size);
    const unit = Math.floor(event.offsetY / size) * layer.columns + column;
    if (column >= 0 && column < layer.columns && unit >= 0 && unit < layer.units) show(layer, unit);
  };

  const moves = {
    ArrowLeft: (layer) => layer.at - 1,
    ArrowRight: (layer) => layer.at + 1,
    ArrowUp: (layer) => (layer.at < layer.columns ? layer.at : layer.at - layer.columns),
    ArrowDown: (layer) => (layer.at + layer.columns < layer.units ? layer.at + layer.columns : layer.at),
    PageUp: (layer) => layer.at - 10 * layer.columns,
    PageDown: (layer) => layer.at + 10 * layer.columns,
    Home: () => 0,
    End: (layer) => layer.units - 1,
  };

  const pressed = (layer, event) => {
    if (event.key === "Escape") return hide();
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return undefined;
    event.preventDefault();
    show(layer, move(layer));
    cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
    return show(layer, layer.at); // once more, where it now is
  };

  // ---- start

  for (const mark of marks.values()) mark.path = new Path2D(mark.shape);
  for (const canvas of host.querySelectorAll("canvas")) {
    const layer = read(canvas);
    layers.push(layer);
    canvas.hidden = false;
    canvas.addEventListener("pointermove", (event) => pointed(layer, event));
    canvas.addEventListener("pointerdown", (event) => pointed(layer, event));
    canvas.addEventListener("pointerleave", hide);
    canvas.addEventListener("focus", () => show(layer, layer.at));
    canvas.addEventListener("blur", hide);
    canvas.addEventListener("keydown", (event) => pressed(layer, event));
  }
  for (const one of document.querySelectorAll(".needs-script")) one.hidden = false;

  let waiting = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  });
  document.addEventListener("colours", drawAll);
  drawAll();
})();
