// What is a table: attempts, jobs, workers.

import { openDialog, press, toast } from "./dialogs.js";
import { byId, el, keep, mark, say, show, table } from "./dom.js";
import { clock, count, milliseconds, moment, plural, roughly, seconds } from "./format.js";
import { age, serverNow } from "./time.js";
import { inWords } from "./words.js";

const EXECUTIONS = 20;
const TONES = { delivered: "ok", succeeded: "ok", failed: "critical", retrying: "warning", pending: "unknown", cancelled: "unknown", running: "info", queued: "unknown" };

const badge = () => el("span", { class: "badge" });
const cell = (name) => el("td", { class: name });

function judge(node, status) {
  mark(node, "class", `badge ${TONES[status] ?? "unknown"}`);
  say(node, status);
}

export class Attempts {
  #store;
  #rows;

  constructor(store) {
    this.#store = store;
    const { whole, body } = table("The latest attempts", [{ name: "At" }, { name: "Webhook" }, { name: "Outcome" }, { name: "Took", class: "number" }]);
    byId("deliveries-scroll").append(whole);
    this.#rows = body;
    store.watch("deliveries", () => this.#draw());
  }

  #draw() {
    const shown = this.#store.deliveries.filter((one) => one.attempts.length > 0);
    keep(
      this.#rows,
      shown,
      (one) => one.id,
      () => el("tr", {}, cell("nowrap"), cell("clip"), el("td", {}, badge(), el("span", { class: "soft small" })), cell("number nowrap")),
      (row, one) => {
        const [at, webhook, outcome, took] = row.children;
        const last = one.attempts.at(-1);
        say(at, clock(last.at));
        say(webhook, this.#store.webhooks.get(one.webhook_id)?.name ?? `webhook ${one.webhook_id}`);
        judge(outcome.firstChild, one.status);
        say(outcome.lastChild, last.reason === "accepted" ? "" : ` ${inWords(last.reason)}${last.http_status ? ` (${last.http_status})` : ""}`);
        say(took, milliseconds(last.latency_ms));
      },
    );
    const leftOut = this.#store.metrics?.not_shown.delivery;
    say(byId("deliveries-count"), leftOut ? `${count(leftOut)} more a second` : "");
    show(byId("deliveries-scroll"), shown.length > 0);
    show(byId("deliveries-empty"), shown.length === 0);
    say(byId("deliveries-empty"), "Nothing was sent yet.");
  }
}

export class Jobs {
  #store;
  #session;
  #rows;

  constructor(store, session) {
    this.#store = store;
    this.#session = session;
    const { whole, body } = table("Scheduled jobs", [
      { name: "Job" },
      { name: "Last run" },
      { name: "Slot", class: "number wide-only" },
      { name: "Took", class: "number" },
      { name: "Next in", class: "number" },
      { name: "Missed 24 h", class: "number wide-only" },
      { name: "Runs", class: "wide-only" },
    ]);
    byId("jobs-scroll").append(whole);
    this.#rows = body;
    store.watch("jobs", () => this.#draw());
    setInterval(() => store.isLoaded && store.touch("jobs"), 5_000);
  }

  #draw() {
    const jobs = [...this.#store.jobs.values()];
    keep(this.#rows, jobs, (one) => one.name, (one) => this.#make(one), (row, one) => this.#update(row, one));
    const missed = jobs.reduce((sum, one) => sum + one.missed_ticks_24h, 0);
    say(byId("jobs-count"), jobs.length ? `${plural(jobs.length, "job")}, ${missed ? `${plural(missed, "tick")} missed` : "no tick missed"} in 24 h` : "");
  }

  #make(job) {
    const open = el("button", { type: "button", class: "link", onclick: () => this.#open(job.name) }, job.name);
    const last = el("td", { class: "nowrap" }, badge(), el("span", { class: "soft" }));
    const runs = el("td", { class: "wide-only" }, el("ul", { class: "runs", "aria-label": `The latest runs of ${job.name}` }));
    return el("tr", {}, el("th", { scope: "row", class: "nowrap", title: job.description }, open), last, cell("number wide-only"), cell("number nowrap"), cell("number nowrap"), cell("number wide-only"), runs);
  }

  #update(row, job) {
    const [, last, slot, took, next, missed, runs] = row.children;
    const run = job.last_execution;
    if (run === null) say(last.lastChild, "not yet");
    else {
      judge(last.firstChild, run.status);
      say(last.lastChild, ` ${roughly(age(run.finished_at ?? run.started_at ?? run.scheduled_for))} ago`);
    }
    show(last.firstChild, run !== null);
    say(slot, run?.slot ?? "–");
    say(took, milliseconds(run?.duration_ms ?? null));
    // Ticks lie on the clock, so that the next one is known without asking.
    const interval = job.interval_seconds * 1000;
    say(next, roughly((interval - (serverNow() % interval)) / 1000));
    say(missed, job.missed_ticks_24h);
    mark(missed, "data-bad", job.missed_ticks_24h > 0);
    keep(
      runs.firstChild,
      this.#store.runs.get(job.name) ?? [],
      (one) => one.id,
      () => el("li", {}, el("span", { class: "hidden-text" })),
      (item, one) => {
        mark(item, "class", `run ${TONES[one.status]}`);
        mark(item, "title", `${one.slot === null ? "by hand" : `slot ${one.slot}`}: ${one.status}`);
        say(item.firstChild, one.status);
      },
    );
  }

  async #open(name) {
    const job = this.#store.jobs.get(name);
    const place = el("div", {}, el("p", { class: "soft" }, "Looking …"));
    const buttons = el("div", { class: "choices" });
    openDialog(name, el("p", {}, job.description), el("p", { class: "soft" }, `Every ${seconds(job.interval_seconds)}, in the lane ${job.lane}.`), buttons, place);
    if (this.#session.may("operator")) {
      const run = async () => {
        await this.#session.api(`/jobs/${name}/run`, { method: "POST" });
        toast(`${name} is asked for; a worker takes it up.`);
        await load();
      };
      buttons.append(el("button", { type: "button", class: "button", onclick: (event) => press(event.currentTarget, run) }, "Run now"));
    }
    const load = async () => {
      const { items } = await this.#session.api(`/jobs/${name}/executions?limit=${EXECUTIONS}`);
      const { whole, body } = table(`The latest runs of ${name}`, [{ name: "Slot", class: "number" }, { name: "Due" }, { name: "Status" }, { name: "Took", class: "number" }, { name: "Worker" }, { name: "Said" }]);
      body.append(
        ...items.map((one) => {
          const status = badge();
          judge(status, one.status);
          const said = one.error ?? Object.entries(one.result ?? {}).map(([name, value]) => `${inWords(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
          return el("tr", {}, el("td", { class: "number" }, one.slot ?? "by hand"), el("td", { class: "nowrap" }, moment(one.scheduled_for)), el("td", {}, status), el("td", { class: "number nowrap" }, milliseconds(one.duration_ms)), el("td", {}, one.worker ?? ""), el("td", { class: "said" }, said));
        }),
      );
      place.replaceChildren(el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `The latest runs of ${name}` }, whole));
    };
    await load().catch((error) => place.replaceChildren(el("p", { class: "error", role: "alert" }, error.message)));
  }
}

export class Workers {
  #store;
  #rows;

  constructor(store) {
    this.#store = store;
    const { whole, body } = table("Workers", [{ name: "Worker" }, { name: "State" }, { name: "Last claim", class: "number" }, { name: "Up", class: "number" }]);
    byId("workers-scroll").append(whole);
    this.#rows = body;
    store.watch("metrics", () => this.#draw());
  }

  #draw() {
    const workers = this.#store.metrics.workers;
    keep(
      this.#rows,
      workers,
      (one) => one.name,
      (one) => el("tr", {}, el("th", { scope: "row", class: "clip", title: one.name }, one.name.split("@")[0]), el("td", {}, badge()), cell("number nowrap"), cell("number nowrap")),
      (row, one) => {
        const [, state, claim, up] = row.children;
        mark(state.firstChild, "class", `badge ${one.is_alive ? "ok" : "critical"}`);
        say(state.firstChild, one.is_alive ? "alive" : "silent");
        say(claim, one.last_claim_at ? `${roughly(age(one.last_claim_at))} ago` : "–");
        say(up, roughly(age(one.started_at)));
      },
    );
    const alive = workers.filter((one) => one.is_alive).length;
    say(byId("workers-count"), workers.length ? `${alive} of ${workers.length} alive` : "");
    show(byId("workers-scroll"), workers.length > 0);
    show(byId("workers-empty"), workers.length === 0);
    say(byId("workers-empty"), "No worker has shown up: nothing is delivered. Is `make run` still there?");
  }
}
