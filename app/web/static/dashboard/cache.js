// How often the cache had the answer, by level, and what takes longest where it had not.

import { byId, el, keep, mark, say, svg, table } from "./dom.js";
import { count, milliseconds, percent } from "./format.js";
import { poll } from "./time.js";

const LOOK_EVERY_SECONDS = 10;
const LEVELS = [
  ["Both levels", (stats) => stats.hit_rate, (stats) => `${count(stats.loads)} loads`],
  [
    "L1, in the process",
    (stats) => stats.l1.hit_rate,
    (stats) =>
      `${count(stats.l1.hits)} hits, ${count(stats.l1.misses)} misses, ${count(stats.l1.items)} kept`,
  ],
  [
    "L2, Redis",
    (stats) => stats.l2?.hit_rate,
    (stats) =>
      stats.l2 ? `${count(stats.l2.hits)} hits, ${count(stats.l2.misses)} misses` : "is off",
  ],
];

export class Cache {
  #session;
  #polling = null;
  #rows;

  constructor(session) {
    this.#session = session;
    const { whole, body } = table("The ten slowest queries", [
      { name: "Slowest queries" },
      { name: "Hits", class: "number" },
      { name: "Mean", class: "number" },
      { name: "p95", class: "number" },
    ]);
    byId("cache-scroll").append(whole);
    this.#rows = body;
  }

  start() {
    this.#polling = poll(LOOK_EVERY_SECONDS, byId("cache-note"), async () =>
      this.#draw(await this.#session.api("/cache/stats")),
    );
  }

  refresh() {
    this.#polling?.now();
  }

  stop() {
    this.#polling?.stop();
  }

  #draw(stats) {
    say(byId("cache-detail"), stats.is_complete ? "" : stats.detail);
    keep(
      byId("cache-levels"),
      LEVELS,
      ([name]) => name,
      makeLevel,
      (level, [, rateOf, noteOf]) => {
        const rate = rateOf(stats) ?? null;
        const { value, note, fill } = level.parts;
        say(value, percent(rate));
        say(note, noteOf(stats));
        mark(fill, "width", ((rate ?? 0) * 100).toFixed(1));
      },
    );
    keep(
      this.#rows,
      stats.slowest_queries,
      (one) => one.name,
      (one) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", class: "clip" }, one.name),
          el("td", { class: "number" }),
          el("td", { class: "number nowrap" }),
          el("td", { class: "number nowrap" }),
        ),
      (row, one) => {
        const [, hits, mean, p95] = row.children;
        say(hits, one.calls ? percent(Math.min(1, (one.hits_l1 + one.hits_l2) / one.calls)) : "–");
        say(mean, milliseconds(one.mean_ms));
        say(p95, milliseconds(one.p95_ms));
      },
    );
  }
}

function makeLevel([name]) {
  const fill = svg("rect", { class: "fill", height: 6, rx: 3 });
  const parts = { value: el("strong", {}), note: el("span", { class: "soft small" }), fill };
  const bar = svg(
    "svg",
    { class: "meter", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "trough", width: 100, height: 6, rx: 3 }),
    fill,
  );
  const level = el(
    "div",
    { class: "level" },
    el("dt", {}, name),
    el("dd", {}, parts.value, bar, parts.note),
  );
  level.parts = parts;
  return level;
}
