// Webhooks as a grid: the state of each, and 24 bars, one an hour.

import { openDialog, press, toast } from "./dialogs.js";
import { byId, el, keep, mark, say, show, svg } from "./dom.js";
import { count, day, milliseconds, moment, percent, roughly, seconds } from "./format.js";
import { age, poll } from "./time.js";
import { inWords } from "./words.js";

const MOST = 500;
const BARS_EVERY_SECONDS = 60;
const RANK = { unavailable: 0, degraded: 1, unknown: 2, healthy: 3, inactive: 4 };
const BAR = { width: 3, step: 4, height: 20 };
// A failure in an hour of many checks is to be seen.
const LEAST_RED = 0.2;

export const stateOf = (webhook) => (webhook.is_active ? webhook.health_status : "inactive");

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
      el("label", { class: "check" }, el("input", { type: "checkbox", onchange: (event) => this.#filter({ onlySick: event.target.checked }) }), "Only sick"),
      el(
        "label",
        {},
        el("span", { class: "hidden-text" }, "Find a webhook"),
        el("input", { type: "search", placeholder: "Find", id: "webhooks-find", oninput: (event) => this.#filter({ text: event.target.value.toLowerCase() }) }),
      ),
      el("button", { type: "button", class: "button", id: "webhooks-add", hidden: true, onclick: () => this.#add() }, "Add"),
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
    keep(this.#grid, shown, (one) => one.id, () => this.#make(), (card, one) => this.#update(card, one));
    mark(this.#grid, "data-many", all.length > 48);
    say(byId("webhooks-count"), all.length ? `${count(shown.length)}${shown.length < all.length ? ` of ${count(all.length)}` : ""}, the last 24 hours` : "");
    show(byId("webhooks-empty"), isLoaded && shown.length === 0);
    show(this.#grid, shown.length > 0);
    if (isLoaded && shown.length === 0) this.#empty(all.length);
  }

  #isWanted(webhook) {
    const isSick = ["unavailable", "degraded"].includes(stateOf(webhook));
    return (!this.#onlySick || isSick) && (!this.#text || `${webhook.name} ${webhook.url}`.toLowerCase().includes(this.#text));
  }

  #empty(there) {
    const box = byId("webhooks-empty");
    const reason = there ? "none" : this.#session.may("admin") ? "add" : "ask";
    if (box.dataset.reason === reason) return;
    box.dataset.reason = reason;
    if (reason === "none") box.replaceChildren(el("p", {}, "No webhook is like that."));
    else if (reason === "ask") box.replaceChildren(el("p", {}, "There is no webhook yet. An admin adds the first one."));
    else {
      box.replaceChildren(
        el("p", {}, "First of all, add a webhook: the address that is to be told of alerts."),
        el("button", { type: "button", class: "button primary", onclick: () => this.#add() }, "Add the first webhook"),
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
      { type: "button", class: "card", onclick: () => this.#open(card.webhook) },
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
    say(state, webhook.disabled_reason ? `disabled: ${inWords(webhook.disabled_reason)}` : inWords(is));
    say(uptime, up === null ? "" : percent(up));
    bars.draw(cell?.bars ?? []);
    mark(button, "aria-label", `${webhook.name}: ${inWords(is)}${up === null ? ", no checks in 24 hours" : `, up ${percent(up)} of 24 hours`}`);
  }

  #open(webhook) {
    const facts = el("dl", { class: "facts" });
    const buttons = el("div", { class: "choices" });
    const { body } = openDialog(webhook.name, facts, buttons);
    const fact = (name, value) => value && facts.append(el("dt", {}, name), el("dd", {}, value));
    fact("Address", webhook.url);
    fact("Description", webhook.description);
    fact("State", inWords(stateOf(webhook)));
    const load = async () => {
      const health = await this.#session.api(`/webhooks/${webhook.id}/health`);
      fact("Since", health.changed_at && `${roughly(age(health.changed_at))}, ${day(health.changed_at)}`);
      fact("Last check", health.last_check_at ? moment(health.last_check_at) : "none yet");
      fact("Checked every", seconds(webhook.health_check_interval_seconds));
      fact("Uptime", `${percent(health.uptime_24h)} in 24 h, ${percent(health.uptime_7d)} in 7 d, ${percent(health.uptime_30d)} in 30 d`);
      fact("Latency", health.latency_p50_ms !== null && `p50 ${milliseconds(health.latency_p50_ms)}, p95 ${milliseconds(health.latency_p95_ms)}, p99 ${milliseconds(health.latency_p99_ms)}`);
      fact("Failures in a row", health.consecutive_failures ? count(health.consecutive_failures) : null);
      fact("Certificate", health.certificate_days_left === null ? null : `${health.certificate_days_left} days left`);
      fact("Waits for", health.blocked_by ? `webhook ${health.blocked_by}, which it depends on` : null);
    };
    load().catch((error) => body.append(el("p", { class: "error", role: "alert" }, error.message)));
    if (!this.#session.may("operator")) return;
    const ask = (label, act) => el("button", { type: "button", class: "button", onclick: (event) => press(event.currentTarget, act) }, label);
    buttons.append(
      ask("Check now", async () => {
        const check = await this.#session.api(`/webhooks/${webhook.id}/check`, { method: "POST" });
        toast(`${webhook.name}: ${inWords(check.outcome)}, ${inWords(check.reason)}, ${milliseconds(check.latency_ms)}.`, check.outcome === "failed" ? "failed" : "done");
      }),
      ask("Send a test", async () => {
        const sent = await this.#session.api(`/webhooks/${webhook.id}/test`, { method: "POST" });
        toast(`${webhook.name}: ${inWords(sent.reason)}${sent.http_status ? ` (HTTP ${sent.http_status})` : ""}.`, sent.reason === "accepted" ? "done" : "failed");
      }),
    );
  }

  #add() {
    const name = el("input", { id: "new-name", required: true, maxlength: "200", autocomplete: "off" });
    const url = el("input", { id: "new-url", type: "url", required: true, placeholder: "https://…", autocomplete: "off" });
    const error = el("p", { class: "error", role: "alert" });
    const button = el("button", { class: "button primary" }, "Add");
    const form = el(
      "form",
      { class: "form", novalidate: true, onsubmit: (event) => { event.preventDefault(); press(button, submit); } },
      el("label", { for: "new-name" }, "Name"),
      name,
      el("label", { for: "new-url" }, "Address (URL)"),
      url,
      error,
      el("div", { class: "choices" }, button),
    );
    const { body } = openDialog("Add a webhook", form);
    name.focus();
    const submit = async () => {
      say(error, "");
      try {
        const made = await this.#session.api("/webhooks", { method: "POST", body: { name: name.value, url: url.value } });
        body.replaceChildren(
          el("p", {}, "It is there. Its receiver verifies messages with this secret, which is shown this once:"),
          el("code", { class: "secret", tabindex: "0" }, made.secret),
        );
      } catch (fault) {
        if (!("status" in fault)) throw fault;
        say(error, fault.message);
      }
    };
  }
}

function bySickness(a, b) {
  return RANK[stateOf(a)] - RANK[stateOf(b)] || a.name.localeCompare(b.name) || a.id - b.id;
}

/** Three paths for all bars: 500 webhooks are 1,500 shapes, not 12,000. */
function barsOf() {
  const [good, bad, gap] = ["good", "bad", "gap"].map((kind) => svg("path", { class: `bar-${kind}` }));
  const whole = svg("svg", { class: "bars", viewBox: `0 0 ${24 * BAR.step - 1} ${BAR.height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, gap, good, bad);
  const box = (place, top, bottom) => `M${place * BAR.step} ${top.toFixed(1)}h${BAR.width}V${bottom.toFixed(1)}h-${BAR.width}Z`;
  return {
    svg: whole,
    draw(bars) {
      const paths = { good: "", bad: "", gap: "" };
      for (let place = 0; place < 24; place += 1) {
        const part = bars[place] ?? null;
        if (part === null) {
          paths.gap += box(place, BAR.height - 3, BAR.height);
          continue;
        }
        const red = part === 1 ? 0 : Math.max(LEAST_RED, 1 - part) * BAR.height;
        if (red > 0) paths.bad += box(place, 0, red);
        if (red < BAR.height) paths.good += box(place, red, BAR.height);
      }
      mark(good, "d", paths.good);
      mark(bad, "d", paths.bad);
      mark(gap, "d", paths.gap);
    },
  };
}
