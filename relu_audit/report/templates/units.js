// Every unit of every layer, unpacked from the canvases' data- attributes, which Cells in unit_cells.py tells of.
const reluUnits = (() => {
  "use strict";

  const place = new Int8Array(128);
  [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((c, i) => (place[c.charCodeAt(0)] = i));

  const number = (text, from, width) => {
    let value = 0;
    for (let i = from; i < from + width; i++) value = value * 64 + place[text.charCodeAt(i)];
    return value;
  };

  const product = (spans) => spans.reduce((one, other) => one * BigInt(other), 1n);
  const digitsOf = (largest) => Math.ceil((largest ? largest.toString(2).length : 0) / 6);

  // The columns of packed() in packing.py.
  const unpacked = (text, spans, units) => {
    const words = [];
    for (const [column, span] of spans.entries()) {
      const last = words.at(-1);
      if (last && product([...last.map((one) => spans[one]), span]) <= 64n ** 8n) last.push(column);
      else words.push([column]);
    }
    const columns = spans.map(() => new Float64Array(units));
    let from = 0;
    for (const word of words) {
      const width = digitsOf(product(word.map((one) => spans[one])) - 1n);
      const lowestFirst = [...word].reverse();
      for (let unit = 0; unit < units; unit++, from += width) {
        let rest = number(text, from, width);
        for (const column of lowestFirst) {
          columns[column][unit] = rest % spans[column];
          rest = Math.floor(rest / spans[column]);
        }
      }
    }
    return columns;
  };

  const zero = 1 << 17;

  // Numbers of a column to codes, in place: Measures in packing.py.
  const decode = (column, least, greatest, shift) => {
    const middle = greatest - least + 2;
    for (let unit = 0; unit < column.length; unit++) {
      if (!column[unit]) continue;
      const from = column[unit] + shift - middle;
      column[unit] = zero + (from > 0 ? from + least - 1 : from < 0 ? from - least + 1 : 0);
    }
  };

  // As measured() in numbers.py writes it; null where there is none. Codes are those of code() in packing.py.
  const measured = (code) => {
    if (!code) return null;
    const sign = code < zero ? "\u2212" : "";
    const rank = Math.abs(code - zero);
    if (!rank) return "0";
    if (rank === 1) return sign + "1e-72 or less";
    if (rank === 2 + 900 * 145) return sign + "1e73 or more";
    const exponent = Math.floor((rank - 2) / 900) - 72;
    const digits = 100 + ((rank - 2) % 900);
    const all = String(digits).replace(/0+$/, "");
    if (exponent < -5 || exponent >= 9) return `${sign}${all[0]}${all[1] ? "." : ""}${all.slice(1)}e${exponent}`;
    if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${all}`;
    if (all.length <= exponent + 1) return sign + all.padEnd(exponent + 1, "0");
    return `${sign}${all.slice(0, exponent + 1)}.${all.slice(exponent + 1)}`;
  };

  // As percent() in numbers.py writes it: not 0 or 100 when it is neither; halves go to the even digit.
  const percent = (fraction) => {
    const value = 100 * fraction;
    if (value === 0 || value === 100) return `${value} %`;
    if (value < 0.1) return "<0.1 %";
    if (value > 99.9) return ">99.9 %";
    return `${(value % 1 === 0.25 ? value - 0.05 : value).toFixed(1)} %`;
  };

  const count = (whole) => whole.toLocaleString("en");
  const host = document.querySelector(".bulbs")?.dataset;
  const statuses = host?.statuses.split(" ") ?? [];
  const causes = host?.causes.split("; ") ?? [];
  const dead = statuses.indexOf("dead");

  const read = (canvas) => {
    const { name, counted, packed, bound } = canvas.dataset;
    const [units, samples, depth, radix] = ["units", "samples", "depth", "radix"].map((key) => Number(canvas.dataset[key]));
    const numbers = (text) => (text ? text.split(" ").map(Number) : []);
    const [counts, pre, peaks, mean, lacking] = unpacked(packed, numbers(canvas.dataset.spans), units);
    const held = numbers(canvas.dataset.held);
    const present = numbers(canvas.dataset.statuses);
    const [status, reason, fired] = [new Uint8Array(units), new Uint8Array(units), new Uint32Array(units)];
    const once = new Map(); // the sample by each unit that fired in one only
    for (let unit = 0; unit < units; unit++) {
      status[unit] = present[Math.floor(counts[unit] / radix)];
      const beside = counts[unit] % radix;
      if (status[unit] === dead) {
        reason[unit] = beside;
        continue;
      }
      fired[unit] = beside > samples ? 1 : beside;
      if (beside > samples) once.set(unit, beside - samples - 1);
    }
    const ranks = numbers(canvas.dataset.ranks);
    [pre, peaks, mean, lacking].forEach((column, i) => decode(column, ranks[3 * i], ranks[3 * i + 1], ranks[3 * i + 2]));
    const peak = held.length ? pre.map((code) => code && Math.min(Math.max(code, held[0]), held[1])) : peaks;
    const margin = "below" in canvas.dataset ? pre.map((code, unit) => (code && status[unit] === dead ? 2 * zero - code : 0)) : lacking;
    return { canvas, name, depth, counted, units, samples, bound, status, fired, pre, peak, mean, reason, margin, once };
  };

  const layers = [...document.querySelectorAll(".bulbs canvas")].map(read);

  // What is known of a unit's silence or firing, in words.
  const evidence = (layer, unit) => {
    if (!layer.samples) return "no sample reached it";
    const one = layer.counted.slice(0, -1);
    if (layer.once.has(unit)) return `only in ${one} ${layer.once.get(unit)}`;
    if (statuses[layer.status[unit]] === "faulty") return "NaN or infinity was seen";
    if (!layer.fired[unit]) return `fires in less than ${layer.bound} of ${layer.counted}, at 95 % confidence`;
    return "";
  };

  // Why a dead unit died: the place of the cause, and whether it is certain to stay silent. As reasons() in causes.py numbers it.
  const causeOf = (layer, unit) => (layer.reason[unit] ? (layer.reason[unit] - 1) >> 2 : -1);
  const certain = (layer, unit) => layer.reason[unit] > 0 && ((layer.reason[unit] - 1) & 2) > 0;
  const nearly = (layer, unit) => layer.reason[unit] > 0 && ((layer.reason[unit] - 1) & 1) > 0;

  // As in_words() in causes.py writes it; null where there is none.
  const cause = (layer, unit) =>
    layer.reason[unit]
      ? causes[causeOf(layer, unit)] + (nearly(layer, unit) ? ", not exactly zero" : "") + (certain(layer, unit) ? ", certain" : "")
      : null;

  return { layers, statuses, measured, percent, count, evidence, cause, causeOf, certain };
})();
