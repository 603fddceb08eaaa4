// Every unit as a cell on a canvas per layer, drawn when it comes near the window.
(() => {
  "use strict";

  const host = document.querySelector(".bulbs");
  if (!host) return;

  const size = Number(host.dataset.cell);
  const lowest = Number(host.dataset.lowest);
  const gap = size > 8 ? 2 : 1;
  const tallest = 16000; // pixels of a canvas's side, under the least that a browser allows
  const many = 30000; // more units than this are drawn layer by layer, as they come near the window
  const cursor = document.getElementById("unit-cursor");
  const card = document.getElementById("unit-card");
  const layers = reluUnits.layers.map((layer) => ({ ...layer, columns: 1, at: 0, drawn: false }));

  const marks = new Map();
  for (const path of document.querySelectorAll("[data-mark]")) {
    const shape = new Path2D(path.getAttribute("d"));
    marks.set(reluUnits.statuses.indexOf(path.dataset.mark), { status: path.dataset.mark, hollow: "hollow" in path.dataset, shape });
  }

  const describe = (layer, unit) => {
    const { measured, percent, count } = reluUnits;
    const fired = layer.fired[unit];
    const lines = [`Unit ${unit}: ${reluUnits.statuses[layer.status[unit]].replace("_", " ")}`];
    if (layer.samples) {
      const noun = layer.samples === 1 ? layer.counted.slice(0, -1) : layer.counted;
      lines.push(`fired in ${count(fired)} of ${count(layer.samples)} ${noun}, ${percent(fired / layer.samples)}`);
    }
    lines.push(`peak ${measured(layer.peak[unit]) ?? "not known"}, mean ${measured(layer.mean[unit]) ?? "not known"}`);
    lines.push(`pre-activation peak ${measured(layer.pre[unit]) ?? "not known"}`);
    const cause = reluUnits.cause(layer, unit);
    if (cause) lines.push(`cause: ${cause}; margin ${measured(layer.margin[unit]) ?? "not known"}`);
    const evidence = reluUnits.evidence(layer, unit);
    if (evidence) lines.push(evidence);
    return lines.join("\n");
  };

  // ---- drawing

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const parts = (name) => colour(name).match(/[0-9a-f]{2}/gi).map((c) => parseInt(c, 16));
    const pixel = ([r, g, b]) => new Uint32Array(new Uint8Array([r, g, b, 255]).buffer)[0];
    const stops = [0, 1, 2, 3, 4].map((i) => parts(`--ramp-${i}`));
    const shades = Array.from({ length: 129 }, (_, i) => {
      const [from, share] = [Math.min(i >> 5, 3), i / 32 - Math.min(i >> 5, 3)];
      return stops[from].map((c, k) => Math.round(c + share * (stops[from + 1][k] - c)));
    });
    return {
      ramp: shades.map((shade) => `rgb(${shade.join()})`),
      pixels: shades.map(pixel),
      ink: colour("--ink"),
      paper: colour("--paper"),
      bad: colour("--bad"),
      inkPixel: pixel(parts("--ink")),
      badPixel: pixel(parts("--bad")),
    };
  };

  // The place of a firing rate on the logarithmic scale, 0 to 128.
  const step = (rate) => Math.round(128 * Math.min(Math.max(1 - Math.log10(rate) / lowest, 0), 1));

  // The canvas's place on the page is there from the start, so that nothing moves while it is drawn.
  const measure = (layer) => {
    const { canvas, units } = layer;
    const room = Math.floor((canvas.parentElement.clientWidth - 6) / size);
    const round = room >= 32 ? 16 : 8; // units in a row, so that an index can be told from its place
    const fitting = room > round ? room - (room % round) : Math.max(room, 1);
    layer.columns = Math.max(1, Math.min(units, Math.max(fitting, Math.ceil((units * size) / tallest))));
    layer.drawn = false;
    canvas.style.width = `${layer.columns * size}px`;
    canvas.style.height = `${Math.ceil(units / layer.columns) * size}px`;
  };

  const draw = (layer, look) => {
    if (layer.drawn) return;
    layer.drawn = true;
    const { canvas, units, columns, samples } = layer;
    const [width, height] = [columns * size, Math.ceil(units / columns) * size];
    const scale = size > 8 ? Math.max(1, Math.min(window.devicePixelRatio, tallest / height)) : 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    if (size <= 5) return dot(pen, layer, look);
    const inner = size - gap;
    for (let unit = 0; unit < units; unit++) {
      const mark = marks.get(layer.status[unit]);
      const [left, top] = [(unit % columns) * size, Math.floor(unit / columns) * size];
      if (!mark?.hollow) {
        pen.fillStyle = look.ramp[step(layer.fired[unit] / samples)];
        pen.fillRect(left * scale, top * scale, inner * scale, inner * scale);
      }
      if (mark) stamp(pen, mark, look, left, top, scale);
    }
    return undefined;
  };

  // Smallest cells pixel by pixel, for there are many: a square, or the outline of one.
  const dot = (pen, { units, columns, status, fired, samples }, look) => {
    const image = pen.createImageData(columns * size, Math.ceil(units / columns) * size);
    const pixels = new Uint32Array(image.data.buffer);
    const inner = size - gap;
    for (let unit = 0; unit < units; unit++) {
      const mark = marks.get(status[unit]);
      const hollow = mark?.hollow;
      const colour = hollow ? (mark.status === "faulty" ? look.badPixel : look.inkPixel) : look.pixels[step(fired[unit] / samples)];
      const first = Math.floor(unit / columns) * size * image.width + (unit % columns) * size;
      for (let y = 0; y < inner; y++) {
        for (let x = 0; x < inner; x++) {
          if (hollow && x % (inner - 1) && y % (inner - 1)) continue;
          pixels[first + y * image.width + x] = colour;
        }
      }
    }
    pen.putImageData(image, 0, 0);
  };

  const stamp = (pen, mark, look, left, top, scale) => {
    const inner = size - gap;
    pen.strokeStyle = mark.status === "faulty" ? look.bad : mark.hollow ? look.ink : look.paper;
    pen.setTransform(scale, 0, 0, scale, left * scale, top * scale);
    pen.scale(inner / 10, inner / 10);
    pen.lineWidth = (mark.hollow ? 10 : 15) / inner;
    pen.stroke(mark.shape);
    pen.resetTransform();
  };

  // Layers to draw: those near the window, or all where that costs nothing.
  const crowded = layers.reduce((sum, layer) => sum + layer.units, 0) > many;
  const near = new Set(crowded ? [] : layers);
  let look = colours();

  const drawNear = () => near.forEach((layer) => draw(layer, look));

  const drawAgain = () => {
    hide();
    look = colours();
    layers.forEach(measure);
    drawNear();
  };

  const drawAll = () => {
    drawAgain();
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

  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const layer = layers.find((one) => one.canvas === entry.target);
        if (entry.isIntersecting) near.add(layer);
        else if (crowded) near.delete(layer);
      }
      drawNear();
    },
    { rootMargin: "50% 0px" },
  );
  for (const layer of layers) {
    const { canvas } = layer;
    canvas.hidden = false;
    canvas.addEventListener("pointermove", (event) => pointed(layer, event));
    canvas.addEventListener("pointerdown", (event) => pointed(layer, event));
    canvas.addEventListener("pointerleave", hide);
    canvas.addEventListener("focus", () => show(layer, layer.at));
    canvas.addEventListener("blur", hide);
    canvas.addEventListener("keydown", (event) => pressed(layer, event));
  }
  for (const one of document.querySelectorAll(".needs-script")) one.hidden = false;
  layers.forEach(measure);
  for (const layer of layers) watch.observe(layer.canvas);
  drawNear();

  let waiting = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAgain);
  });
  document.addEventListener("colours", drawAgain);
  document.addEventListener("paper", drawAll);
})();
