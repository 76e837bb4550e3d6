// What is known, and who wants to know when it changes.

import { serverNow } from "./time.js";

// Nothing is drawn more often than this, however many messages come.
const DRAW_EVERY_MS = 200;
const KEPT_ALERTS = 200;
const KEPT_DELIVERIES = 20;
const KEPT_RUNS = 16;
const KEPT_ANOMALIES = 50;
// Resolved alerts stay to be seen for a moment.
const FAREWELL_MS = 60_000;
const LIVE_SPAN_MS = 3_700_000;

/** Topics: `metrics`, `alerts`, `deliveries`, `webhooks`, `jobs`, `anomalies`. */
export class Store {
  #watchers = new Map();
  #changed = new Set();
  #isWaiting = false;
  #drawnAt = 0;

  constructor() {
    this.clear();
  }

  clear() {
    this.metrics = null;
    this.alerts = new Map();
    /** Ids of alerts whose deliveries have changed since their counts were asked for. */
    this.uncounted = new Set();
    this.webhooks = new Map();
    this.bars = new Map();
    this.deliveries = [];
    this.jobs = new Map();
    this.runs = new Map();
    this.anomalies = new Map();
    this.live = [];
    this.isLoaded = false;
  }

  watch(topic, draw) {
    if (!this.#watchers.has(topic)) this.#watchers.set(topic, []);
    this.#watchers.get(topic).push(draw);
  }

  /** Draw what shows this, soon, and once for all that changed until then. */
  touch(...topics) {
    for (const topic of topics) this.#changed.add(topic);
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const wait = Math.max(0, this.#drawnAt + DRAW_EVERY_MS - performance.now());
    // A page that nobody sees gets no frames.
    setTimeout(
      () => (document.hidden ? this.#draw() : requestAnimationFrame(() => this.#draw())),
      wait,
    );
  }

  #draw() {
    this.#isWaiting = false;
    this.#drawnAt = performance.now();
    const topics = [...this.#changed];
    this.#changed.clear();
    for (const topic of topics) for (const draw of this.#watchers.get(topic) ?? []) draw();
  }

  /** A message of the stream. */
  take({ type, timestamp, data }) {
    if (type === "snapshot") this.#whole(data, timestamp);
    else if (type === "metrics") this.#metrics(data, timestamp);
    else if (type === "alert") this.alert(data);
    else if (type === "delivery") this.#delivery(data);
    else if (type === "webhook") this.#webhook(data);
    else if (type === "job") this.#run(data);
    else if (type === "anomaly") this.#anomaly(data);
  }

  #whole(data, timestamp) {
    const there = new Set(data.alerts.map((one) => one.id));
    const oldest = Math.min(...there, Infinity);
    // Older ones that are open may still be; newer ones that are not in it are gone.
    for (const id of this.alerts.keys())
      if (id >= oldest || there.size === 0) this.alerts.delete(id);
    for (const one of data.alerts) this.alerts.set(one.id, one);
    this.webhooks = new Map(data.webhooks.map((one) => [one.id, one]));
    this.deliveries = data.deliveries.slice(0, KEPT_DELIVERIES);
    this.anomalies = new Map(data.anomalies.map((one) => [one.id, one]));
    this.jobs = new Map(data.jobs.map((one) => [one.name, one]));
    for (const one of data.jobs) if (one.last_execution) this.#note(one.last_execution);
    this.isLoaded = true;
    this.#metrics(data.metrics, timestamp);
    this.touch("alerts", "webhooks", "deliveries", "jobs", "anomalies", "snapshot");
  }

  #metrics(data, timestamp) {
    this.metrics = data;
    this.touch("metrics");
    const at = Date.parse(timestamp);
    if (at <= this.live.at(-1)?.t) return;
    this.live.push({
      t: at,
      ...data.deliveries_per_second,
      p50: data.delivery_latency_ms.p50,
      p95: data.delivery_latency_ms.p95,
      p99: data.delivery_latency_ms.p99,
      undelivered: data.queue.undelivered,
      oldest: data.queue.oldest_due_seconds,
    });
    while (this.live[0].t < at - LIVE_SPAN_MS) this.live.shift();
  }

  /** Nothing was heard from here on: lines end, they do not go straight to what comes next. */
  gap() {
    if (this.live.length) this.live.push({ t: this.live.at(-1).t + 1 });
  }

  alert(data) {
    const before = this.alerts.get(data.id);
    // The answer to an action may come after the news that it made.
    if (before && before.updated_at > data.updated_at) return;
    this.alerts.set(data.id, data);
    if (this.alerts.size > KEPT_ALERTS) this.#forgetAlerts();
    this.touch("alerts");
  }

  #forgetAlerts() {
    const ids = [...this.alerts.keys()].sort((a, b) => b - a);
    const rank = (id) => (this.alerts.get(id).status === "resolved" ? 1 : 0);
    ids.sort((a, b) => rank(a) - rank(b));
    for (const id of ids.slice(KEPT_ALERTS)) this.alerts.delete(id);
  }

  /** Open ones, the unacknowledged and the severe first; and those that were resolved just now. */
  shownAlerts() {
    const since = serverNow() - FAREWELL_MS;
    return [...this.alerts.values()]
      .filter((one) => one.status !== "resolved" || Date.parse(one.resolved_at) > since)
      .sort(byUrgency);
  }

  #delivery(data) {
    if (this.alerts.has(data.alert_id)) this.uncounted.add(data.alert_id);
    this.deliveries = [data, ...this.deliveries.filter((one) => one.id !== data.id)].slice(
      0,
      KEPT_DELIVERIES,
    );
    this.touch("deliveries");
  }

  #webhook(data) {
    if (data.is_deleted) this.webhooks.delete(data.id);
    else this.webhooks.set(data.id, data);
    this.touch("webhooks");
  }

  #run(data) {
    this.#note(data);
    const job = this.jobs.get(data.job_name);
    if (job && (job.last_execution?.id ?? 0) <= data.id) job.last_execution = data;
    this.touch("jobs");
  }

  #note(run) {
    const runs = (this.runs.get(run.job_name) ?? []).filter((one) => one.id !== run.id);
    runs.push(run);
    runs.sort((a, b) => a.id - b.id);
    this.runs.set(run.job_name, runs.slice(-KEPT_RUNS));
  }

  #anomaly(data) {
    this.anomalies.set(data.id, data);
    if (this.anomalies.size > KEPT_ANOMALIES)
      this.anomalies.delete(Math.min(...this.anomalies.keys()));
    this.touch("anomalies");
  }
}

const STATUS_RANK = { pending: 0, acknowledged: 1, resolved: 2 };
const SEVERITY_RANK = { critical: 0, warning: 1, info: 2 };

function byUrgency(a, b) {
  return (
    STATUS_RANK[a.status] - STATUS_RANK[b.status] ||
    SEVERITY_RANK[a.severity] - SEVERITY_RANK[b.severity] ||
    b.id - a.id
  );
}
