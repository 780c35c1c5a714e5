// A small line chart in SVG: time on x, one to four series on y, gaps where a value is missing, a cursor that reads values.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 20;

// The page's security policy forbids style attributes, so `fill` and `stroke` are set as properties.
function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "fill" || key === "stroke") node.style[key] = value; else node.setAttribute(key, value);
  }
  if (text !== undefined) node.textContent = text;
  return node;
}

// Round steps (1, 2, 2.5, 5 times a power of ten) that cover low..high in about `count` pieces.
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(k => k * power).find(s => s >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => +((first + i) * step).toPrecision(12));
}

class Chart {
  // `options`: format (number to text), zero (whether y starts at 0), least (smallest range of y), dates (x in days).
  constructor(holder, options) {
    this.options = { format: String, zero: true, least: 1, dates: false, ...options };
    this.holder = holder;
    this.legend = holder.parentElement.appendChild(document.createElement("div"));
    this.legend.className = "legend";
    this.cursor = null;
    holder.addEventListener("pointermove", event => this.point(event.offsetX));
    holder.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(holder);
  }

  // `times` in epoch seconds; each series is {label, color, values}.
  show(times, series) {
    this.times = times;
    this.series = series.filter(s => s.values.some(v => v !== null));
    this.draw();
  }

  draw() {
    if (!this.times) return;
    const { clientWidth: width, clientHeight: height } = this.holder;
    const known = this.series.flatMap(s => s.values).filter(v => v !== null);
    this.holder.replaceChildren();
    this.legend.replaceChildren();
    if (!known.length || this.times.length < 2) {
      const empty = this.holder.appendChild(document.createElement("div"));
      empty.className = "empty";
      empty.textContent = "nothing yet";
      return;
    }
    const svg = this.holder.appendChild(shape("svg", { role: "img", viewBox: `0 0 ${width} ${height}` }));
    const marks = this.scale(known, width, height);
    this.axes(svg, marks, width, height);
    for (const [index, s] of this.series.entries()) this.line(svg, s, index === 0 && this.series.length === 1);
    this.read(svg, height);
  }

  scale(known, width, height) {
    const { zero, least } = this.options;
    let low = zero ? 0 : Math.min(...known), high = Math.max(...known);
    if (high - low < least) high = low + least;
    const marks = ticks(low, high, 4), [bottom, top] = [marks[0], marks.at(-1)];
    const start = this.times[0], end = this.times.at(-1);
    this.x = t => LEFT + (width - LEFT - RIGHT) * (t - start) / (end - start || 1);
    this.y = v => height - BOTTOM - (height - TOP - BOTTOM) * (v - bottom) / (top - bottom);
    return marks;
  }

  axes(svg, marks, width, height) {
    for (const mark of marks) {
      const y = this.y(mark);
      svg.append(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
      svg.append(shape("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, this.options.format(mark)));
    }
    if (this.options.dates) return this.days(svg, height);
    const start = this.times[0], end = this.times.at(-1), span = end - start;
    const step = [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find(s => span / s <= 5) ?? 7200;
    for (let back = 0; back < span * 0.97; back += step) {
      const label = back === 0 ? "now" : back % 60 === 0 ? `−${back / 60} min` : `−${back} s`;
      const anchor = back === 0 ? "end" : "middle";
      svg.append(shape("text", { x: this.x(end - back), y: height - 4, "text-anchor": anchor }, label));
    }
  }

  // About four midnights, the last one at the right edge.
  days(svg, height) {
    const start = this.times[0], end = this.times.at(-1), days = (end - start) / 86400;
    const step = [1, 2, 7, 14, 28, 56].find(s => days / s <= 4) ?? 91;
    for (let back = 0; back <= days * 0.95; back += step) {
      const t = end - back * 86400;
      const label = new Date(t * 1000).toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" });
      svg.append(shape("text", { x: this.x(t), y: height - 4, "text-anchor": back === 0 ? "end" : "middle" }, label));
    }
  }

  line(svg, { color, values }, filled) {
    const runs = [[]];
    values.forEach((v, i) => v === null ? runs.push([]) : runs.at(-1).push([this.x(this.times[i]), this.y(v)]));
    for (const run of runs.filter(r => r.length)) {
      const path = "M" + run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      const floor = this.holder.clientHeight - BOTTOM;
      const area = `${path}L${run.at(-1)[0].toFixed(1)} ${floor}L${run[0][0].toFixed(1)} ${floor}Z`;
      if (filled) svg.append(shape("path", { class: "area", d: area, fill: color }));
      svg.append(shape("path", { class: "line", d: run.length > 1 ? path : path + "h.1", stroke: color }));
    }
  }

  point(x) {
    this.cursor = x;
    this.draw();
  }

  // The legend reads the newest values, or those under the cursor.
  read(svg, height) {
    let at = this.times.length - 1;
    if (this.cursor !== null) {
      const distance = i => Math.abs(this.x(this.times[i]) - this.cursor);
      at = this.times.reduce((best, _, i) => distance(i) < distance(best) ? i : best, at);
      const x = this.x(this.times[at]);
      svg.append(shape("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: height - BOTTOM }));
    }
    for (const { label, color, values } of this.series) {
      const entry = this.legend.appendChild(document.createElement("span"));
      const line = entry.appendChild(document.createElement("i"));
      line.style.background = color;
      entry.append(label);
      const value = entry.appendChild(document.createElement("b"));
      value.textContent = values[at] === null ? "–" : this.options.format(values[at]);
    }
  }
}

// What was said against what came, per bin with its interval; on the diagonal both agree.
class Reliability {
  constructor(holder) {
    this.holder = holder;
    new ResizeObserver(() => this.draw()).observe(holder);
  }

  // `bins`: {probability, rate, low, high, predictions}.
  show(bins) {
    this.bins = bins;
    this.draw();
  }

  draw() {
    this.holder.replaceChildren();
    if (!this.bins || !this.bins.length) {
      const empty = this.holder.appendChild(document.createElement("div"));
      empty.className = "empty";
      empty.textContent = "no labels yet";
      return;
    }
    const { clientWidth: width, clientHeight: height } = this.holder;
    const most = Math.max(0.05, ...this.bins.flatMap(b => [b.probability, Math.min(b.high, 1.6 * b.rate + 0.02)]));
    const marks = ticks(0, Math.min(1, most), 4).filter(m => m <= 1), top = marks.at(-1);
    const x = v => LEFT + (width - LEFT - RIGHT) * v / top, y = v => height - BOTTOM - (height - TOP - BOTTOM) * Math.min(v, top) / top;
    const percent = v => `${+(100 * v).toFixed(1)} %`;
    const svg = this.holder.appendChild(shape("svg", { role: "img", viewBox: `0 0 ${width} ${height}` }));
    for (const [i, mark] of marks.entries()) {
      svg.append(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }));
      svg.append(shape("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, percent(mark)));
      if (width < 300 && (marks.length - 1 - i) % 2) continue;
      svg.append(shape("text", { x: x(mark), y: height - 4, "text-anchor": mark === top ? "end" : "middle" }, percent(mark)));
    }
    svg.append(shape("line", { class: "cursor", x1: x(0), x2: x(top), y1: y(0), y2: y(top) }));
    for (const bin of this.bins) {
      const dot = shape("circle", { cx: x(bin.probability), cy: y(bin.rate), r: 4, fill: "var(--tide)" });
      dot.append(shape("title", {}, `said ${percent(bin.probability)}, came ${percent(bin.rate)} of ${bin.predictions}`));
      svg.append(shape("line", { class: "line", x1: x(bin.probability), x2: x(bin.probability), y1: y(bin.low), y2: y(bin.high), stroke: "var(--mute)" }), dot);
    }
  }
}
