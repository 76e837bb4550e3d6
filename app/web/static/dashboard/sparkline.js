// A line so small that it needs no axes.

import { mark, svg } from "./dom.js";

const LEAST_SPAN_MS = 15_000;

export class Sparkline {
  constructor() {
    this.line = svg("path", { class: "line" });
    this.area = svg("path", { class: "area" });
    this.svg = svg(
      "svg",
      { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" },
      this.area,
      this.line,
    );
  }

  /** `points`: [{t, value}]. While they are few, they take all of the width. */
  draw(points, earliest, until) {
    const seen = points.filter((one) => one.t >= earliest && Number.isFinite(one.value));
    const since = Math.min(seen[0]?.t ?? earliest, until - LEAST_SPAN_MS);
    const most = Math.max(...seen.map((one) => one.value), 0) || 1;
    const at = seen.map(
      (one) =>
        `${(((one.t - since) / (until - since)) * 100).toFixed(1)},${(22 - (one.value / most) * 19).toFixed(1)}`,
    );
    mark(this.line, "d", at.length > 1 ? `M${at.join("L")}` : "");
    mark(this.area, "d", at.length > 1 ? `M${at[0].split(",")[0]},24L${at.join("L")}V24Z` : "");
  }
}
