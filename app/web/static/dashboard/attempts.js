// The latest deliveries that were attempted.

import { badge, judge } from "./badges.js";
import { byId, cell, el, keep, say, show, table } from "./dom.js";
import { clock, count, milliseconds } from "./format.js";
import { inWords } from "./words.js";

export class Attempts {
  #store;
  #rows;

  constructor(store) {
    this.#store = store;
    const { whole, body } = table("The latest attempts", [
      { name: "At" },
      { name: "Webhook" },
      { name: "Outcome" },
      { name: "Took", class: "number" },
    ]);
    byId("deliveries-scroll").append(whole);
    this.#rows = body;
    store.watch("deliveries", () => this.#draw());
    store.watch("metrics", () => this.#count());
  }

  #draw() {
    const shown = this.#store.deliveries.filter((one) => one.attempts.length > 0);
    keep(
      this.#rows,
      shown,
      (one) => one.id,
      () =>
        el(
          "tr",
          {},
          cell("nowrap"),
          cell("clip"),
          el("td", {}, badge(), el("span", { class: "soft small" })),
          cell("number nowrap"),
        ),
      (row, one) => {
        const [at, webhook, outcome, took] = row.children;
        const last = one.attempts.at(-1);
        say(at, clock(last.at));
        say(webhook, this.#store.webhooks.get(one.webhook_id)?.name ?? `webhook ${one.webhook_id}`);
        judge(outcome.firstChild, one.status);
        say(
          outcome.lastChild,
          last.reason === "accepted"
            ? ""
            : ` ${inWords(last.reason)}${last.http_status ? ` (${last.http_status})` : ""}`,
        );
        say(took, milliseconds(last.latency_ms));
      },
    );
    show(byId("deliveries-scroll"), shown.length > 0);
    show(byId("deliveries-empty"), shown.length === 0);
    say(byId("deliveries-empty"), "Nothing was sent yet.");
  }

  #count() {
    const leftOut = this.#store.metrics?.not_shown.delivery;
    say(byId("deliveries-count"), leftOut ? `${count(leftOut)} more a second` : "");
  }
}
