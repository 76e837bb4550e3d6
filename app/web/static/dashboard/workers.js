// Who works: which are alive, and when they last took something.

import { badge, judge } from "./badges.js";
import { byId, cell, el, keep, say, show, table } from "./dom.js";
import { roughly } from "./format.js";
import { age } from "./time.js";

export class Workers {
  #store;
  #rows;

  constructor(store) {
    this.#store = store;
    const { whole, body } = table("Workers", [
      { name: "Worker" },
      { name: "State" },
      { name: "Last claim", class: "number" },
      { name: "Up", class: "number" },
    ]);
    byId("workers-scroll").append(whole);
    this.#rows = body;
    store.watch("metrics", () => this.#draw());
  }

  #draw() {
    const workers = this.#store.metrics?.workers ?? [];
    keep(
      this.#rows,
      workers,
      (one) => one.name,
      (one) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", class: "clip", title: one.name }, one.name.split("@")[0]),
          el("td", {}, badge()),
          cell("number nowrap"),
          cell("number nowrap"),
        ),
      (row, one) => {
        const [, state, claim, up] = row.children;
        judge(
          state.firstChild,
          one.is_alive ? "alive" : "silent",
          one.is_alive ? "ok" : "critical",
        );
        say(claim, one.last_claim_at ? `${roughly(age(one.last_claim_at))} ago` : "–");
        say(up, roughly(age(one.started_at)));
      },
    );
    const alive = workers.filter((one) => one.is_alive).length;
    say(byId("workers-count"), workers.length ? `${alive} of ${workers.length} alive` : "");
    show(byId("workers-scroll"), workers.length > 0);
    show(byId("workers-empty"), workers.length === 0);
    say(byId("workers-empty"), "No worker has shown up: nothing is delivered.");
  }
}
