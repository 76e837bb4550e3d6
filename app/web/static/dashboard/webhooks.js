// Webhooks as a grid: the state of each, and 24 bars, one an hour.

import { barsOf } from "./bars.js";
import { byId, el, keep, mark, say, show } from "./dom.js";
import { count, percent } from "./format.js";
import { poll } from "./time.js";
import { openNewWebhook, openWebhook } from "./webhook_dialogs.js";
import { inWords, stateOf } from "./words.js";

const MOST = 500;
const BARS_EVERY_SECONDS = 60;
const RANK = { unavailable: 0, degraded: 1, unknown: 2, healthy: 3, inactive: 4 };

export class Webhooks {
  #store;
  #session;
  #grid = byId("webhooks-grid");
  #polling = null;
  #onlySick = false;
  #text = "";

  constructor(store, session) {
    this.#store = store;
    this.#session = session;
    byId("webhooks-tools").append(
      el(
        "label",
        { class: "check" },
        el("input", {
          type: "checkbox",
          onchange: (event) => this.#filter({ onlySick: event.target.checked }),
        }),
        "Only sick",
      ),
      el(
        "label",
        {},
        el("span", { class: "hidden-text" }, "Find a webhook"),
        el("input", {
          type: "search",
          placeholder: "Find",
          id: "webhooks-find",
          oninput: (event) => this.#filter({ text: event.target.value.toLowerCase() }),
        }),
      ),
      el(
        "button",
        {
          type: "button",
          class: "button",
          id: "webhooks-add",
          hidden: true,
          onclick: () => openNewWebhook(this.#session),
        },
        "Add",
      ),
    );
    store.watch("webhooks", () => this.#draw());
  }

  start() {
    show(byId("webhooks-add"), this.#session.may("admin"));
    this.#polling = poll(BARS_EVERY_SECONDS, byId("webhooks-note"), async () => {
      const { items } = await this.#session.api(`/dashboard/webhooks?limit=${MOST}`);
      this.#store.bars = new Map(items.map((one) => [one.id, one]));
      this.#store.touch("webhooks");
    });
  }

  refresh() {
    this.#polling?.now();
  }

  stop() {
    this.#polling?.stop();
  }

  #filter({ onlySick = this.#onlySick, text = this.#text }) {
    this.#onlySick = onlySick;
    this.#text = text;
    this.#draw();
  }

  #draw() {
    const { isLoaded } = this.#store;
    const all = [...this.#store.webhooks.values()];
    const shown = all.filter((one) => this.#isWanted(one)).sort(bySickness);
    keep(
      this.#grid,
      shown,
      (one) => one.id,
      () => this.#make(),
      (card, one) => this.#update(card, one),
    );
    mark(this.#grid, "data-many", all.length > 48);
    say(
      byId("webhooks-count"),
      all.length
        ? `${count(shown.length)}${shown.length < all.length ? ` of ${count(all.length)}` : ""}, the last 24 hours`
        : "",
    );
    show(byId("webhooks-empty"), isLoaded && shown.length === 0);
    show(this.#grid, shown.length > 0);
    if (isLoaded && shown.length === 0) this.#empty(all.length);
  }

  #isWanted(webhook) {
    const isSick = ["unavailable", "degraded"].includes(stateOf(webhook));
    return (
      (!this.#onlySick || isSick) &&
      (!this.#text || `${webhook.name} ${webhook.url}`.toLowerCase().includes(this.#text))
    );
  }

  #empty(there) {
    const box = byId("webhooks-empty");
    const reason = there ? "none" : this.#session.may("admin") ? "add" : "ask";
    if (box.dataset.reason === reason) return;
    box.dataset.reason = reason;
    if (reason === "none") box.replaceChildren(el("p", {}, "No webhook is like that."));
    else if (reason === "ask")
      box.replaceChildren(el("p", {}, "There is no webhook yet. An admin adds the first one."));
    else {
      box.replaceChildren(
        el("p", {}, "First of all, add a webhook: the address that is to be told of alerts."),
        el(
          "button",
          { type: "button", class: "button primary", onclick: () => openNewWebhook(this.#session) },
          "Add the first webhook",
        ),
        el("p", { class: "soft" }, "Or on the command line:"),
        el("code", {}, "tocsin webhook add on-call https://example.com/hook"),
      );
    }
  }

  #make() {
    const parts = {
      name: el("span", { class: "card-name" }),
      state: el("span", { class: "card-state" }),
      uptime: el("span", { class: "card-uptime" }),
      bars: barsOf(),
    };
    const button = el(
      "button",
      { type: "button", class: "card", onclick: () => openWebhook(this.#session, card.webhook) },
      el("span", { class: "card-top" }, parts.name, parts.uptime),
      parts.bars.svg,
      parts.state,
    );
    const card = el("li", {}, button);
    card.parts = { ...parts, button };
    return card;
  }

  #update(card, webhook) {
    const cell = this.#store.bars.get(webhook.id);
    if (card.webhook === webhook && card.cell === cell) return;
    card.webhook = webhook;
    card.cell = cell;
    const { name, state, uptime, bars, button } = card.parts;
    const is = stateOf(webhook);
    const up = cell?.uptime_24h ?? null;
    mark(button, "data-state", is);
    say(name, webhook.name);
    say(
      state,
      webhook.disabled_reason ? `disabled: ${inWords(webhook.disabled_reason)}` : inWords(is),
    );
    say(uptime, up === null ? "" : percent(up));
    bars.draw(cell?.bars ?? []);
    mark(
      button,
      "aria-label",
      `${webhook.name}: ${inWords(is)}${up === null ? ", no checks in 24 hours" : `, up ${percent(up)} of 24 hours`}`,
    );
  }
}

function bySickness(a, b) {
  return RANK[stateOf(a)] - RANK[stateOf(b)] || a.name.localeCompare(b.name) || a.id - b.id;
}
