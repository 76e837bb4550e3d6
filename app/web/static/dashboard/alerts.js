// Open alerts, and what can be done with them.

import { openDialog, press, toast } from "./dialogs.js";
import { byId, el, keep, mark, say, show } from "./dom.js";
import { openExplanation } from "./explain.js";
import { clock, count, moment, plural, roughly } from "./format.js";
import { age, later, serverNow } from "./time.js";

const SHOWN = 100;
const FEW = 5;
const COUNT_SOON_MS = 500;
const COUNT_EVERY_MS = 5_000;
const SNOOZES = [
  ["15 minutes", 15],
  ["1 hour", 60],
  ["4 hours", 240],
  ["1 day", 1440],
];
const OUTCOMES = ["delivered", "pending", "retrying", "failed", "cancelled"];
const KEYS = { a: "acknowledge", s: "snooze", r: "resolve", e: "explain" };

export class Alerts {
  #store;
  #session;
  #list = byId("alerts-list");
  #known = null;
  #standsOut = new Set();
  #counting = null;
  #countedAt = 0;

  constructor(store, session) {
    this.#store = store;
    this.#session = session;
    store.watch("alerts", () => this.#draw());
    store.watch("metrics", () => this.#count());
    store.watch("deliveries", () => this.#countSoon());
    this.#list.addEventListener("keydown", (event) => this.#key(event));
    setInterval(() => this.#store.touch("alerts"), 15_000);
  }

  /** Those that are open and older than what the stream begins with, and what came of the deliveries. */
  async load() {
    this.#countedAt = Date.now();
    this.#store.uncounted.clear();
    const found = await this.#session.api(`/dashboard/alerts?limit=${SHOWN}`);
    for (const one of found.items) this.#store.alert(one);
    this.#store.touch("alerts");
  }

  clear() {
    this.#known = null;
    clearTimeout(this.#counting);
    this.#counting = null;
  }

  /** An alert's counts change with its deliveries, of which no news of the alert tells. */
  #countSoon() {
    if (this.#counting !== null || this.#store.uncounted.size === 0) return;
    this.#counting = later(
      Math.max(COUNT_SOON_MS, this.#countedAt + COUNT_EVERY_MS - Date.now()),
      () => {
        this.#counting = null;
        if (this.#session.isSignedIn && !document.hidden) this.load().catch(() => {});
      },
    );
  }

  #draw() {
    const { isLoaded } = this.#store;
    const shown = isLoaded ? this.#store.shownAlerts().slice(0, SHOWN) : [];
    if (isLoaded) this.#announce(shown);
    keep(
      this.#list,
      shown,
      (one) => one.id,
      (one) => this.#make(one),
      (row, one) => this.#update(row, one),
    );
    this.#count();
    show(byId("alerts-empty"), isLoaded && shown.length === 0);
    show(this.#list, shown.length > 0);
    if (shown.length === 0) this.#empty();
  }

  #count() {
    const { pending = 0, acknowledged = 0 } = this.#store.metrics?.alerts ?? {};
    const all = pending + acknowledged;
    const more = all > SHOWN ? `; the ${SHOWN} most urgent are shown` : "";
    say(
      byId("alerts-count"),
      all === 0 ? "" : `${count(pending)} pending, ${count(acknowledged)} acknowledged${more}`,
    );
  }

  #empty() {
    const text =
      this.#store.webhooks.size === 0
        ? "No alert is open. Once there is a webhook, raise one to see it arrive:"
        : "No alert is open. To see one arrive:";
    const box = byId("alerts-empty");
    if (box.dataset.text === text) return;
    box.dataset.text = text;
    box.replaceChildren(
      el("p", {}, text),
      el("code", {}, 'tocsin alert send "Disk almost full" --severity critical'),
    );
  }

  /** What is new since the last time, for those who do not see it. Not what was there at first. */
  #announce(shown) {
    const isFirst = this.#known === null;
    const fresh = isFirst
      ? []
      : shown.filter((one) => one.status === "pending" && !this.#known.has(one.id));
    if (fresh.length === 1) say(byId("news"), `New ${fresh[0].severity} alert: ${fresh[0].title}`);
    else if (fresh.length > 1) {
      say(byId("news"), `${fresh.length} new alerts. The most urgent: ${fresh[0].title}`);
    }
    // Where all is new, nothing stands out.
    this.#standsOut = new Set(fresh.length > FEW ? [] : fresh.map((one) => one.id));
    this.#known = new Set([...(this.#known ?? []), ...shown.map((one) => one.id)]);
  }

  #make(alert) {
    const row = el("li", { class: "alert", tabindex: "-1" });
    const part = (row.parts = {
      severity: el("span", { class: "badge" }),
      title: el("h3", { class: "alert-title", id: `alert-${alert.id}` }),
      text: el("p", { class: "alert-text" }),
      meta: el("p", { class: "alert-meta soft" }),
      labels: el("ul", { class: "labels", "aria-label": "Labels" }),
      actions: el("div", { class: "alert-actions" }),
    });
    row.append(
      el(
        "div",
        { class: "alert-main" },
        el("div", { class: "alert-head" }, part.severity, part.title),
        part.text,
        part.labels,
        part.meta,
      ),
      part.actions,
    );
    if (this.#standsOut.has(alert.id)) row.classList.add("is-new");
    return row;
  }

  #update(row, alert) {
    row.alert = alert;
    const { severity, title, text, meta, labels } = row.parts;
    mark(row, "tabindex", row === this.#list.firstElementChild ? 0 : -1);
    mark(row, "data-severity", alert.severity);
    mark(row, "data-status", alert.status);
    mark(severity, "class", `badge ${alert.severity}`);
    say(severity, alert.severity);
    say(title, alert.title);
    say(text, alert.message ?? "");
    show(text, Boolean(alert.message));
    say(meta, this.#meta(alert));
    keep(
      labels,
      Object.entries(alert.labels),
      ([name]) => name,
      () => el("li"),
      (item, [name, value]) => say(item, `${name}=${value}`),
    );
    show(labels, Object.keys(alert.labels).length > 0);
    this.#actions(row, alert);
  }

  #meta(alert) {
    const deliveries = OUTCOMES.filter((one) => alert.deliveries[one]).map(
      (one) => `${alert.deliveries[one]} ${one}`,
    );
    const isSnoozed = alert.snoozed_until && Date.parse(alert.snoozed_until) > serverNow();
    return [
      `#${alert.id}`,
      `${roughly(age(alert.created_at))} ago`,
      alert.source,
      alert.count > 1 && `raised ${count(alert.count)} times`,
      deliveries.length ? deliveries.join(", ") : "nobody to tell",
      alert.status === "acknowledged" &&
        `acknowledged by ${alert.acknowledged_by} at ${moment(alert.acknowledged_at)}`,
      alert.status === "resolved" && `resolved by ${alert.resolved_by}`,
      isSnoozed && `snoozed by ${alert.snoozed_by} until ${moment(alert.snoozed_until)}`,
    ]
      .filter(Boolean)
      .join(" · ");
  }

  /** Those that make sense now, and that this user may. */
  #actions(row, alert) {
    const wanted = ["explain"];
    if (this.#session.may("operator") && alert.status !== "resolved") {
      wanted.unshift("resolve");
      if (alert.status === "pending") wanted.unshift("acknowledge", "snooze");
    }
    keep(
      row.parts.actions,
      wanted,
      (name) => name,
      (name) =>
        el(
          "button",
          {
            type: "button",
            class: `button ${name === "acknowledge" ? "tinted" : ""}`,
            "data-action": name,
            "aria-describedby": `alert-${alert.id}`,
            onclick: (event) => this.#act(name, row.alert, event.currentTarget),
          },
          name.charAt(0).toUpperCase() + name.slice(1),
        ),
      () => {},
    );
  }

  #act(name, alert, button) {
    if (name === "explain") openExplanation(this.#session, alert);
    else if (name === "snooze") this.#snooze(alert);
    else press(button, () => this.#send(alert, name));
  }

  async #send(alert, action, body) {
    const row = document.activeElement?.closest(".alert");
    this.#store.alert(
      await this.#session.api(`/alerts/${alert.id}/${action}`, { method: "POST", body }),
    );
    // The button that was pressed goes; the place in the list stays.
    if (row?.isConnected) row.focus({ preventScroll: true });
    return alert;
  }

  #snooze(alert) {
    const choices = SNOOZES.map(([label, minutes]) =>
      el(
        "button",
        {
          type: "button",
          class: "button",
          onclick: (event) => press(event.currentTarget, () => snooze(minutes, label)),
        },
        label,
      ),
    );
    const { close } = openDialog(
      `Snooze: ${alert.title}`,
      el("p", {}, "Nobody is told of it for so long; then those who were told are reminded, once."),
      el("div", { class: "choices" }, choices),
    );
    const snooze = async (minutes, label) => {
      await this.#send(alert, "snooze", { minutes });
      close();
      toast(`Snoozed for ${label}, until ${clock(serverNow() + minutes * 60_000)}.`);
    };
  }

  /** Up and down from alert to alert; letters act on the one that has the focus. */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = event.target.closest(".alert");
    if (row === null) return;
    const next = {
      ArrowDown: row.nextElementSibling,
      j: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      k: row.previousElementSibling,
    }[event.key];
    if (next) {
      event.preventDefault();
      next.focus();
      return;
    }
    const button = row.querySelector(`[data-action="${KEYS[event.key]}"]`);
    if (button) {
      event.preventDefault();
      button.click();
    }
  }
}

/** For the page's title: how many wait for somebody, and whether one is critical. */
export function urgency(store) {
  const shown = [...store.alerts.values()].filter((one) => one.status === "pending");
  const pending = store.metrics?.alerts.pending ?? shown.length;
  return {
    pending,
    isCritical: shown.some((one) => one.severity === "critical"),
    text: plural(pending, "alert"),
  };
}
