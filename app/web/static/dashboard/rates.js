// Deliveries a second by outcome, and how long they take: of now, and of the last hour.

import { Chart } from "./chart.js";
import { byId, el } from "./dom.js";
import { figure, milliseconds } from "./format.js";
import { poll, serverNow } from "./time.js";

const SPANS = { "5 min": 300_000, "1 h": 3_600_000 };
const HISTORY_EVERY_SECONDS = 60;

export class Rates {
  #store;
  #session;
  #minutes = [];
  #span = "5 min";
  #polling = null;
  #rates = new Chart(byId("rates-chart"), {
    title: "Deliveries a second",
    series: [
      { key: "delivered", label: "delivered", area: true },
      { key: "failed", label: "failed" },
      { key: "cancelled", label: "cancelled" },
    ],
  });
  #latency = new Chart(byId("latency-chart"), {
    title: "Delivery latency",
    series: [
      { key: "p99", label: "p99" },
      { key: "p95", label: "p95" },
      { key: "p50", label: "p50" },
    ],
    format: milliseconds,
  });

  constructor(store, session) {
    this.#store = store;
    this.#session = session;
    const name = "span";
    byId("span-tools").append(
      el(
        "fieldset",
        { class: "choice" },
        el("legend", { class: "hidden-text" }, "Time shown"),
        Object.keys(SPANS).map((span) =>
          el(
            "label",
            {},
            el("input", {
              type: "radio",
              name,
              value: span,
              checked: span === this.#span,
              onchange: () => this.#choose(span),
            }),
            el("span", {}, span),
          ),
        ),
      ),
    );
    store.watch("metrics", () => this.#draw());
  }

  start() {
    this.#polling = poll(HISTORY_EVERY_SECONDS, byId("rates-note"), async () => {
      const { outcomes, step } = await this.#session.api("/dashboard/deliveries");
      this.#minutes = byMinute(outcomes, step);
      this.#draw();
    });
  }

  refresh() {
    this.#polling?.now();
  }

  stop() {
    this.#polling?.stop();
    this.#minutes = [];
  }

  #choose(span) {
    this.#span = span;
    this.#draw();
  }

  #draw() {
    const until = serverNow();
    const shown = { since: until - SPANS[this.#span], until, points: this.#points(until) };
    this.#rates.draw(shown);
    this.#latency.draw(shown);
  }

  /** Minutes up to where this page began to listen, or all of an hour; then second by second. */
  #points(until) {
    const { live } = this.#store;
    const isHour = this.#span === "1 h";
    const from = live[0]?.t ?? until;
    // The minute that goes on now is not whole yet.
    const minutes = this.#minutes.filter((one) => (isHour ? one.t < until - 60_000 : one.t < from));
    return isHour ? minutes : [...minutes, ...live];
  }
}

/** Each minute's attempts as rates, in the middle of the minute. */
function byMinute({ delivered, failed }, step) {
  return delivered.map((one, place) => ({
    t: Date.parse(one.at) + step * 500,
    delivered: (one.count ?? 0) / step,
    failed: (failed[place]?.count ?? 0) / step,
    cancelled: null,
    p50: one.p50,
    p95: one.p95,
    p99: one.p99,
  }));
}
