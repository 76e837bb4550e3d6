// What runs on a schedule: the last run of each job, and when the next is due.

import { TONES, badge, judge } from "./badges.js";
import { openDialog, press, toast } from "./dialogs.js";
import { byId, cell, el, keep, mark, say, show, table } from "./dom.js";
import { milliseconds, moment, plural, roughly, seconds } from "./format.js";
import { age, serverNow } from "./time.js";
import { inWords } from "./words.js";

const EXECUTIONS = 20;

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
      { name: "Missed", class: "number wide-only" },
      { name: "Runs", class: "wide-only" },
    ]);
    byId("jobs-scroll").append(whole);
    this.#rows = body;
    store.watch("jobs", () => this.#draw());
    setInterval(() => store.isLoaded && store.touch("jobs"), 5_000);
  }

  #draw() {
    const jobs = [...this.#store.jobs.values()];
    keep(
      this.#rows,
      jobs,
      (one) => one.name,
      (one) => this.#make(one),
      (row, one) => this.#update(row, one),
    );
    const missed = jobs.reduce((sum, one) => sum + one.missed_ticks_24h, 0);
    say(
      byId("jobs-count"),
      jobs.length
        ? `${plural(jobs.length, "job")}, ${missed ? `${plural(missed, "tick")} missed` : "no tick missed"} in 24 h`
        : "",
    );
  }

  #make(job) {
    const open = el(
      "button",
      { type: "button", class: "link", onclick: () => this.#open(job.name) },
      job.name,
    );
    const last = el("td", { class: "nowrap" }, badge(), el("span", { class: "soft" }));
    const runs = el(
      "td",
      { class: "wide-only" },
      el("ul", { class: "runs", "aria-label": `The latest runs of ${job.name}` }),
    );
    return el(
      "tr",
      {},
      el("th", { scope: "row", class: "nowrap", title: job.description }, open),
      last,
      cell("number wide-only"),
      cell("number nowrap"),
      cell("number nowrap"),
      cell("number wide-only"),
      runs,
    );
  }

  #update(row, job) {
    const [, last, slot, took, next, missed, runs] = row.children;
    const run = job.last_execution;
    if (run === null) say(last.lastChild, "not yet");
    else {
      judge(last.firstChild, run.status);
      say(
        last.lastChild,
        ` ${roughly(age(run.finished_at ?? run.started_at ?? run.scheduled_for))} ago`,
      );
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
    openDialog(
      name,
      el("p", {}, job.description),
      el(
        "p",
        { class: "soft" },
        `Every ${seconds(job.interval_seconds)}, in the lane ${job.lane}.`,
      ),
      buttons,
      place,
    );
    if (this.#session.may("operator")) {
      const run = async () => {
        await this.#session.api(`/jobs/${name}/run`, { method: "POST" });
        toast(`${name} is asked for; a worker takes it up.`);
        await load();
      };
      buttons.append(
        el(
          "button",
          { type: "button", class: "button", onclick: (event) => press(event.currentTarget, run) },
          "Run now",
        ),
      );
    }
    const load = async () => {
      const { items } = await this.#session.api(`/jobs/${name}/executions?limit=${EXECUTIONS}`);
      const { whole, body } = table(`The latest runs of ${name}`, [
        { name: "Slot", class: "number" },
        { name: "Due" },
        { name: "Status" },
        { name: "Took", class: "number" },
        { name: "Worker" },
        { name: "Said" },
      ]);
      body.append(
        ...items.map((one) => {
          const status = badge();
          judge(status, one.status);
          const said =
            one.error ??
            Object.entries(one.result ?? {})
              .map(
                ([name, value]) =>
                  `${inWords(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`,
              )
              .join(", ");
          return el(
            "tr",
            {},
            el("td", { class: "number" }, one.slot ?? "by hand"),
            el("td", { class: "nowrap" }, moment(one.scheduled_for)),
            el("td", {}, status),
            el("td", { class: "number nowrap" }, milliseconds(one.duration_ms)),
            el("td", {}, one.worker ?? ""),
            el("td", { class: "said" }, said),
          );
        }),
      );
      place.replaceChildren(
        el(
          "div",
          {
            class: "scroll",
            tabindex: "0",
            role: "group",
            "aria-label": `The latest runs of ${name}`,
          },
          whole,
        ),
      );
    };
    await load().catch((error) =>
      place.replaceChildren(el("p", { class: "error", role: "alert" }, error.message)),
    );
  }
}
