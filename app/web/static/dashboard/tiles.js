// The figures at a glance, and the one sentence above them.

import { byId, el, mark, say } from "./dom.js";
import { count, figure, milliseconds, plural, roughly } from "./format.js";
import { Sparkline } from "./sparkline.js";
import { serverNow } from "./time.js";
import { urgency } from "./alerts.js";

const SPAN_MS = 300_000;
const LATE_SECONDS = 15;

const TILES = [
  {
    name: "alerts",
    label: "Open alerts",
    value: (m) => count((m.alerts.pending ?? 0) + (m.alerts.acknowledged ?? 0)),
    note: (m) => (m.alerts.pending ? `${count(m.alerts.pending)} pending` : "none pending"),
    tone: (m, store) =>
      urgency(store).isCritical ? "critical" : m.alerts.pending ? "warning" : "ok",
  },
  {
    name: "webhooks",
    label: "Webhooks",
    value: (m) =>
      all(m.webhooks) ? `${count(m.webhooks.healthy ?? 0)}/${count(all(m.webhooks))}` : "0",
    note: (m) => (all(m.webhooks) ? sick(m.webhooks) || "healthy" : "none yet"),
    tone: (m) => worst(m.webhooks),
  },
  {
    name: "queue",
    label: "Undelivered",
    value: (m) => count(m.queue.undelivered),
    note: (m) => `${count(m.queue.in_flight)} in flight`,
    tone: () => "plain",
    line: "undelivered",
  },
  {
    name: "age",
    label: "Oldest due",
    value: (m) => roughly(m.queue.oldest_due_seconds),
    note: (m) => held(m.gates) || "no gate is closed",
    tone: (m) => (m.queue.oldest_due_seconds > LATE_SECONDS ? "warning" : "plain"),
    line: "oldest",
  },
  {
    name: "rate",
    label: "Delivered a second",
    value: (m) => figure(m.deliveries_per_second.delivered),
    note: (m) =>
      m.deliveries_per_second.failed
        ? `${figure(m.deliveries_per_second.failed)} failed`
        : "none failed",
    tone: (m) => (m.deliveries_per_second.failed ? "warning" : "plain"),
    line: "delivered",
  },
  {
    name: "latency",
    label: "Latency p95",
    value: (m) => milliseconds(m.delivery_latency_ms.p95),
    note: (m) =>
      m.delivery_latency_ms.count
        ? `p50 ${milliseconds(m.delivery_latency_ms.p50)}`
        : "nothing in a minute",
    tone: () => "plain",
    line: "p95",
  },
];

const all = (counts) => Object.values(counts).reduce((sum, one) => sum + one, 0);

const worst = (counts) => {
  if (counts.unavailable) return "critical";
  if (counts.degraded) return "warning";
  return all(counts) ? "ok" : "plain";
};

const sick = ({ unavailable = 0, degraded = 0, unknown = 0 }) =>
  [
    unavailable && `${count(unavailable)} unavailable`,
    degraded && `${count(degraded)} degraded`,
    unknown && `${count(unknown)} not checked`,
  ]
    .filter(Boolean)
    .join(", ");

const held = ({ closed = 0, half_open = 0, paced = 0 }) =>
  [
    closed + half_open && `${plural(closed + half_open, "gate")} closed`,
    paced && `${count(paced)} paced`,
  ]
    .filter(Boolean)
    .join(", ");

export class Tiles {
  #store;
  #made;

  constructor(store) {
    this.#store = store;
    this.#made = TILES.map((tile) => {
      const parts = {
        value: el("strong", {}, "–"),
        note: el("span", { class: "tile-note soft" }),
        spark: tile.line ? new Sparkline() : null,
      };
      parts.root = el(
        "li",
        { class: "tile", "data-tile": tile.name },
        el("span", { class: "tile-label" }, tile.label),
        parts.value,
        parts.note,
        parts.spark?.svg ?? "",
      );
      return [tile, parts];
    });
    byId("tiles").replaceChildren(...this.#made.map(([, parts]) => parts.root));
    store.watch("metrics", () => this.#draw());
    store.watch("alerts", () => this.#draw());
  }

  #draw() {
    const metrics = this.#store.metrics;
    if (metrics === null) return;
    const until = serverNow();
    for (const [tile, parts] of this.#made) {
      say(parts.value, tile.value(metrics));
      say(parts.note, tile.note(metrics));
      mark(parts.root, "data-tone", tile.tone(metrics, this.#store));
      parts.spark?.draw(
        this.#store.live.map((one) => ({ t: one.t, value: one[tile.line] })),
        until - SPAN_MS,
        until,
      );
    }
    const [tone, text] = headline(this.#store, metrics);
    const node = byId("headline");
    mark(node, "data-tone", tone);
    say(node, text);
  }
}

/** What a person who comes by has to know. */
function headline(store, metrics) {
  const { pending, isCritical } = urgency(store);
  const dead = metrics.workers.filter((one) => !one.is_alive).length;
  const facts = [
    pending && `${plural(pending, "alert")} ${pending === 1 ? "waits" : "wait"} for somebody`,
    metrics.webhooks.unavailable &&
      `${plural(metrics.webhooks.unavailable, "webhook")} unavailable`,
    metrics.webhooks.degraded && `${plural(metrics.webhooks.degraded, "webhook")} degraded`,
    metrics.queue.oldest_due_seconds > LATE_SECONDS &&
      `a delivery has been due for ${roughly(metrics.queue.oldest_due_seconds)}`,
    dead && `${plural(dead, "worker")} silent`,
    metrics.anomalies_open && `${plural(metrics.anomalies_open, "anomaly", "anomalies")} going on`,
  ].filter(Boolean);
  if (facts.length === 0) {
    return store.isLoaded && all(metrics.webhooks) === 0
      ? ["plain", "Ready. There is no webhook yet."]
      : ["ok", "All is well."];
  }
  const text = `${facts.join(", ")}.`;
  const tone = isCritical || metrics.webhooks.unavailable ? "critical" : "warning";
  return [tone, text.charAt(0).toUpperCase() + text.slice(1)];
}
