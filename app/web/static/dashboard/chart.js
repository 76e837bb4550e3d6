// Lines over time, as SVG.

import { el, keep, mark, say, show, svg } from "./dom.js";
import { clock, figure, minute } from "./format.js";

const LEFT = 54;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;
const TICK_EVERY_PX = 76;
const STEPS_MS = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map(
  (s) => s * 1000,
);
const SAID_EVERY_MS = 10_000;
const FIGURES = 30;

/**
 * `series`: [{key, label, area?}], drawn in this order. `format` makes texts of values. `maxGapMs`:
 * points further apart are not joined.
 *
 * `draw({points, since, until, band, marks})`: points [{t, KEY: number|null}], in order of time;
 * band [{t, low, high}]; marks [{from, to}] are shaded.
 */
export class Chart {
  #series;
  #format;
  #maxGap;
  #parts = {};
  #shown = null;
  #saidAt = 0;
  #size = { width: 0, height: 0 };

  constructor(root, { title, series, format = figure, maxGapMs = 90_000, bandLabel = null }) {
    this.#series = series;
    this.#format = format;
    this.#maxGap = maxGapMs;
    const p = this.#parts;
    p.legend = el("ul", { class: "legend" });
    for (const one of series) {
      one.value = el("b", {}, "–");
      p.legend.append(
        el("li", {}, el("i", { class: `swatch line-${one.key}` }), `${one.label} `, one.value),
      );
    }
    if (bandLabel) p.legend.append(el("li", {}, el("i", { class: "swatch band" }), bandLabel));
    p.grid = svg("g", { class: "grid-lines" });
    p.marks = svg("g", { class: "marks" });
    p.band = svg("path", { class: "band" });
    p.areas = series
      .filter((one) => one.area)
      .map((one) => (one.fill = svg("path", { class: `area area-${one.key}` })));
    p.lines = series.map((one) => (one.line = svg("path", { class: `line line-${one.key}` })));
    p.cursor = svg("line", { class: "cursor", visibility: "hidden" });
    p.svg = svg(
      "svg",
      { role: "img", "aria-label": title },
      p.grid,
      p.marks,
      p.band,
      p.areas,
      p.lines,
      p.cursor,
    );
    p.tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    p.none = el("p", { class: "none soft", hidden: true }, "Nothing yet");
    p.box = el("div", { class: "plot" }, p.svg, p.tip, p.none);
    p.figures = el(
      "details",
      { class: "figures", ontoggle: () => this.#tell() },
      el("summary", {}, "Figures"),
    );
    root.replaceChildren(p.legend, p.box, p.figures);
    this.title = title;
    new ResizeObserver(([entry]) => this.#resize(entry.contentRect)).observe(p.box);
    p.box.addEventListener("pointermove", (event) => this.#point(event));
    p.box.addEventListener("pointerleave", () => this.#leave());
  }

  draw(shown) {
    this.#shown = shown;
    this.#render();
  }

  #resize({ width, height }) {
    this.#size = { width: Math.round(width), height: Math.round(height) };
    mark(this.#parts.svg, "viewBox", `0 0 ${this.#size.width} ${this.#size.height}`);
    this.#render();
  }

  #render() {
    if (this.#shown === null || this.#size.width < 60) return;
    const { points, band = [], marks = [] } = this.#shown;
    const p = this.#parts;
    let most = 0;
    for (const point of points)
      for (const { key } of this.#series) most = Math.max(most, point[key] ?? 0);
    for (const one of band) most = Math.max(most, one.high);
    const scale = ticksUpTo(most);
    this.#scale = scale;
    this.#grid(scale);
    for (const one of this.#series) {
      const [line, area] = this.#paths(points, one.key);
      mark(one.line, "d", line);
      if (one.fill) mark(one.fill, "d", area);
      const last = points.findLast((point) => point[one.key] !== undefined)?.[one.key];
      say(one.value, this.#format(last ?? null));
    }
    mark(p.band, "d", this.#bandPath(band));
    keep(
      p.marks,
      marks,
      (one) => `${one.from}`,
      () => svg("rect"),
      (rect, one) => {
        const from = Math.max(LEFT, this.#x(one.from));
        mark(rect, "x", from.toFixed(1));
        mark(rect, "y", TOP);
        mark(rect, "width", Math.max(2, this.#x(one.to) - from).toFixed(1));
        mark(rect, "height", this.#size.height - TOP - BOTTOM);
      },
    );
    show(
      p.none,
      !points.some((point) => this.#series.some(({ key }) => Number.isFinite(point[key]))),
    );
    if (Date.now() > this.#saidAt + SAID_EVERY_MS) this.#tell();
  }

  #scale = [0, 1];

  #x(t) {
    const { since, until } = this.#shown;
    return LEFT + ((t - since) / (until - since)) * (this.#size.width - LEFT - RIGHT);
  }

  #y(value) {
    const room = this.#size.height - TOP - BOTTOM;
    return TOP + room * (1 - value / this.#scale.at(-1));
  }

  #grid(scale) {
    const { since, until } = this.#shown;
    const right = this.#size.width - RIGHT;
    const wanted = Math.max(2, (right - LEFT) / TICK_EVERY_PX);
    const step = STEPS_MS.find((one) => (until - since) / one <= wanted) ?? STEPS_MS.at(-1);
    const times = [];
    for (let t = Math.ceil(since / step) * step; t <= until; t += step) times.push(t);
    const format = step < 60_000 ? clock : minute;
    const rows = scale.map((value) => ({
      key: `y${value}`,
      y: this.#y(value),
      text: this.#format(value),
    }));
    const columns = times.map((t) => ({ key: `x${t}`, x: this.#x(t), text: format(t) }));
    keep(
      this.#parts.grid,
      [...rows, ...columns],
      (one) => one.key,
      (one) =>
        one.y === undefined
          ? svg("g", {}, svg("text", { class: "tick-x" }))
          : svg("g", {}, svg("line"), svg("text", { class: "tick-y" })),
      (node, one) => {
        const text = node.lastChild;
        say(text, one.text);
        if (one.y === undefined) {
          // At the edges a text would be cut off.
          mark(text, "x", Math.min(right - 16, Math.max(LEFT + 16, one.x)).toFixed(1));
          mark(text, "y", this.#size.height - 5);
          return;
        }
        for (const [name, value] of [
          ["x1", LEFT],
          ["x2", right],
          ["y1", one.y],
          ["y2", one.y],
        ])
          mark(node.firstChild, name, value);
        mark(text, "x", LEFT - 6);
        mark(text, "y", one.y + 4);
      },
    );
  }

  #paths(points, key) {
    const { since, until } = this.#shown;
    const floor = this.#y(0).toFixed(1);
    const at = (t, value) => [this.#x(t).toFixed(1), this.#y(value).toFixed(1)];
    const runs = [];
    let run = null;
    let before = null;
    for (const point of points) {
      const value = point[key] ?? null;
      const isJoined = before !== null && value !== null && point.t - before.t <= this.#maxGap;
      if (point.t > until) break;
      if (!isJoined) run = null;
      if (value !== null && point.t >= since) {
        if (run === null)
          runs.push(
            (run = isJoined ? [at(since, between(before, { t: point.t, value }, since))] : []),
          );
        run.push(at(point.t, value));
      }
      before = value === null ? null : { t: point.t, value };
    }
    const lines = runs.map((one) => (one.length === 1 ? `M${one[0]}h1.5` : `M${one.join("L")}`));
    const areas = runs.map((one) => `M${one[0][0]},${floor}L${one.join("L")}V${floor}Z`);
    return [lines.join(""), areas.join("")];
  }

  #bandPath(band) {
    if (band.length < 2) return "";
    const high = band.map((one) => `${this.#x(one.t).toFixed(1)},${this.#y(one.high).toFixed(1)}`);
    const low = band.map(
      (one) => `${this.#x(one.t).toFixed(1)},${this.#y(Math.max(0, one.low)).toFixed(1)}`,
    );
    return `M${high.join("L")}L${low.reverse().join("L")}Z`;
  }

  /** What it shows, in words and as a table: for those who don't see it. */
  #tell() {
    if (this.#shown === null) return;
    this.#saidAt = Date.now();
    const { points, since, until } = this.#shown;
    const seen = points.filter((point) => point.t >= since && point.t <= until);
    const parts = this.#series.map(({ key, label }) => {
      const values = seen.map((point) => point[key]).filter(Number.isFinite);
      if (!values.length) return `${label}: nothing`;
      return `${label}: now ${this.#format(values.at(-1))}, at most ${this.#format(Math.max(...values))}`;
    });
    mark(
      this.#parts.svg,
      "aria-label",
      `${this.title}, ${minute(since)} to ${minute(until)}. ${parts.join("; ")}.`,
    );
    if (this.#parts.figures.open) this.#table(seen);
  }

  #table(seen) {
    const every = Math.max(1, Math.ceil(seen.length / FIGURES));
    const rows = seen.filter((_point, place) => (seen.length - 1 - place) % every === 0).reverse();
    const cells = (point) =>
      this.#series.map(({ key }) =>
        el("td", { class: "number" }, this.#format(point[key] ?? null)),
      );
    const head = this.#series.map(({ label }) =>
      el("th", { scope: "col", class: "number" }, label),
    );
    const body = rows.map((point) =>
      el("tr", {}, el("th", { scope: "row" }, clock(point.t)), cells(point)),
    );
    const whole = el(
      "table",
      {},
      el("caption", { class: "hidden-text" }, this.title),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Time"), head)),
      el("tbody", {}, body),
    );
    this.#parts.figures.replaceChildren(
      this.#parts.figures.firstChild,
      el(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": `${this.title}, figures` },
        whole,
      ),
    );
  }

  #point(event) {
    if (this.#shown === null) return;
    const box = this.#parts.box.getBoundingClientRect();
    const { since, until, points } = this.#shown;
    const t =
      since + ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * (until - since);
    const near = points.reduce(
      (best, one) => (Math.abs(one.t - t) < Math.abs(best.t - t) ? one : best),
      points[0] ?? null,
    );
    const { tip, cursor } = this.#parts;
    if (near === undefined || near === null || near.t < since || near.t > until)
      return this.#leave();
    const x = this.#x(near.t);
    for (const [name, value] of [
      ["x1", x],
      ["x2", x],
      ["y1", TOP],
      ["y2", box.height - BOTTOM],
    ])
      mark(cursor, name, value);
    mark(cursor, "visibility", "visible");
    tip.replaceChildren(
      el("b", {}, clock(near.t)),
      ...this.#series.map(({ key, label }) =>
        el(
          "span",
          {},
          el("i", { class: `swatch line-${key}` }),
          `${label} ${this.#format(near[key] ?? null)}`,
        ),
      ),
    );
    show(tip, true);
    const isRight = x > box.width / 2;
    tip.style.left = isRight ? "auto" : `${x + 10}px`;
    tip.style.right = isRight ? `${box.width - x + 10}px` : "auto";
  }

  #leave() {
    show(this.#parts.tip, false);
    mark(this.#parts.cursor, "visibility", "hidden");
  }
}

/** What lies on the line from one point to another at a time between them. */
const between = (one, other, t) =>
  one.value + ((other.value - one.value) * (t - one.t)) / (other.t - one.t);

/** Three to five round figures from 0 to what has room for `most`. */
export function ticksUpTo(most) {
  if (!(most > 0)) return [0, 1];
  const rough = most / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const steps = Math.ceil((most * 1.02) / step);
  return Array.from({ length: steps + 1 }, (_none, place) => Number((place * step).toPrecision(6)));
}
