// A series over the band that is usual for it, and the anomalies of late.

import { Chart } from "./chart.js";
import { byId, el, keep, mark, say, show } from "./dom.js";
import { figure, milliseconds, moment, roughly } from "./format.js";
import { age, poll, serverNow } from "./time.js";
import { capital, inWords } from "./words.js";

const SPAN_MS = 6 * 3_600_000;
const STEP_SECONDS = 300;
const LOOK_EVERY_SECONDS = 60;
const LISTED = 8;
const HOUR_MS = 3_600_000;
const HOURS_OF_A_WEEK = 168;
// Of the Unix epoch, a Thursday, the hour of the week that begins on Monday.
const EPOCH_SLOT = 72;
const DEFAULT = "tocsin.delivery.latency_ms";

export class Anomalies {
  #store;
  #session;
  #polling = null;
  #choice = el("select", { id: "operation", onchange: () => this.#choose(this.#choice.value) });
  #chosen = null;
  #isByHand = false;
  #shown = null;
  #chart = new Chart(byId("anomalies-chart"), {
    title: "Mean over the usual band",
    series: [{ key: "avg", label: "mean" }],
    maxGapMs: 2 * STEP_SECONDS * 1000,
    bandLabel: "usual for the hour of the week",
    format: (value) => this.#format(value),
  });
  #unit = null;

  constructor(store, session) {
    this.#store = store;
    this.#session = session;
    byId("anomalies-tools").append(
      el("label", { for: "operation", class: "hidden-text" }, "Operation"),
      this.#choice,
    );
    store.watch("anomalies", () => this.#draw());
  }

  start() {
    this.#polling = poll(LOOK_EVERY_SECONDS, byId("anomalies-note"), () => this.#look());
  }

  refresh() {
    this.#polling?.now();
  }

  stop() {
    this.#polling?.stop();
    this.#shown = this.#chosen = null;
    this.#isByHand = false;
  }

  #format(value) {
    return this.#unit === "ms" ? milliseconds(value) : figure(value);
  }

  #choose(operation) {
    this.#isByHand = true;
    this.#chosen = operation;
    this.#polling?.now();
  }

  async #look() {
    const { items } = await this.#session.api("/metrics/operations?limit=100");
    keep(
      this.#choice,
      items,
      (one) => one.operation,
      (one) => el("option", { value: one.operation }, one.operation),
      () => {},
    );
    const names = items.map((one) => one.operation);
    show(byId("anomalies-tools"), names.length > 0);
    if (!this.#isByHand || !names.includes(this.#chosen)) this.#chosen = this.#mostTelling(names);
    if (this.#chosen === null) return this.#draw();
    this.#choice.value = this.#chosen;
    const operation = encodeURIComponent(this.#chosen);
    const until = serverNow();
    const since = until - SPAN_MS;
    const asked = `since=${new Date(since).toISOString()}&step=${STEP_SECONDS}&agg=avg`;
    const [series, baselines] = await Promise.all([
      this.#session.api(`/metrics/query?operation=${operation}&${asked}`),
      this.#session.api(`/baselines?operation=${operation}&limit=1`),
    ]);
    this.#unit = series.unit;
    this.#shown = {
      operation: this.#chosen,
      since,
      until,
      points: pointsOf(series),
      band: bandOf(baselines.items[0], since, until),
    };
    this.#draw();
  }

  /** What is off now, or was last; else what somebody sends, rather than what Tocsin measures itself. */
  #mostTelling(names) {
    const latest = [...this.#store.anomalies.values()].sort(byNews)[0]?.operation;
    if (names.includes(latest)) return latest;
    return (
      names.find((one) => !one.startsWith("tocsin.")) ??
      (names.includes(DEFAULT) ? DEFAULT : (names[0] ?? null))
    );
  }

  #draw() {
    const found = [...this.#store.anomalies.values()].sort(byNews);
    if (this.#shown !== null) {
      const of = found.filter((one) => one.operation === this.#shown.operation);
      this.#chart.draw({
        ...this.#shown,
        marks: of
          .map((one) => ({
            from: Date.parse(one.started_at),
            to: one.ended_at ? Date.parse(one.ended_at) : this.#shown.until,
          }))
          .filter((one) => one.to > this.#shown.since),
      });
    }
    show(byId("anomalies-chart"), this.#shown !== null);
    keep(byId("anomalies-list"), found.slice(0, LISTED), (one) => one.id, makeRow, updateRow);
    show(byId("anomalies-list"), found.length > 0);
    show(byId("anomalies-empty"), found.length === 0);
    say(
      byId("anomalies-empty"),
      this.#shown?.band.length === 0
        ? "No anomaly. What is usual is learnt from the samples, once a day."
        : "No anomaly.",
    );
  }
}

const byNews = (a, b) => Boolean(a.ended_at) - Boolean(b.ended_at) || b.id - a.id;

const makeRow = () =>
  el(
    "li",
    { class: "row" },
    el("span", { class: "badge" }),
    el("span", { class: "row-text" }),
    el("span", { class: "row-note soft" }),
  );

function updateRow(row, one) {
  const [badge, text, note] = row.children;
  mark(badge, "class", `badge ${one.severity}`);
  say(badge, one.severity);
  say(text, `${one.operation}: ${one.sentence}`);
  say(
    note,
    one.ended_at
      ? `${moment(one.started_at)}, ${roughly((Date.parse(one.ended_at) - Date.parse(one.started_at)) / 1000)}; ${inWords(one.end_reason)}`
      : `${capital("since")} ${moment(one.started_at)}, ${roughly(age(one.started_at))}`,
  );
}

const pointsOf = ({ points, step }) =>
  points.map((one) => ({ t: Date.parse(one.at) + step * 500, avg: one.avg }));

/** What docs/baselines.md calls usual: the hour's mean, give or take three MADs of normal values. */
function bandOf(baseline, since, until) {
  if (!baseline) return [];
  const bySlot = new Map(baseline.slots.map((one) => [one.slot, one]));
  const band = [];
  for (let hour = Math.floor(since / HOUR_MS); hour * HOUR_MS <= until; hour += 1) {
    const usual =
      bySlot.get((hour - EPOCH_SLOT + 14 * HOURS_OF_A_WEEK) % HOURS_OF_A_WEEK) ?? baseline;
    const reach = 3 * Math.max(1.4826 * usual.mad, 0.01 * Math.abs(usual.mean));
    const edge = { low: usual.mean - reach, high: usual.mean + reach };
    band.push(
      { t: Math.max(since, hour * HOUR_MS), ...edge },
      { t: Math.min(until, (hour + 1) * HOUR_MS), ...edge },
    );
  }
  return band;
}
