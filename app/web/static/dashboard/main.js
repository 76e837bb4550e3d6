// The page, put together: signing in, the stream, the panels.

import { Alerts, urgency } from "./alerts.js";
import { Anomalies } from "./anomalies.js";
import { Attempts } from "./attempts.js";
import { Cache } from "./cache.js";
import { closeDialogs } from "./dialogs.js";
import { byId, mark, say, show } from "./dom.js";
import { clock, roughly } from "./format.js";
import { Jobs } from "./jobs.js";
import { Rates } from "./rates.js";
import { Session } from "./session.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { Theme } from "./theme.js";
import { Tiles } from "./tiles.js";
import { later } from "./time.js";
import { Webhooks } from "./webhooks.js";
import { Workers } from "./workers.js";

const AGAIN_MS = 3_000;

const session = new Session();
const store = new Store();
const stream = new Stream(session);
const alerts = new Alerts(store, session);
const polled = [
  new Rates(store, session),
  new Webhooks(store, session),
  new Anomalies(store, session),
  new Cache(session),
];
new Theme(byId("theme"));
new Tiles(store);
new Attempts(store);
new Jobs(store, session);
new Workers(store);

// Signing in and out

async function begin() {
  try {
    if (await session.resume()) return enter();
    askToSignIn();
  } catch (error) {
    if (!("status" in error)) throw error;
    askToSignIn(`${error.message} Trying again …`);
    later(
      (error.retryAfter ?? 0) * 1000 || AGAIN_MS,
      () => session.isSignedIn || byId("username").value || begin(),
    );
  }
}

function askToSignIn(note = "") {
  show(byId("app"), false);
  show(byId("sign-in"), true);
  say(byId("sign-in-note"), note);
  show(byId("sign-in-note"), note !== "");
  byId("username").focus();
}

function enter() {
  show(byId("sign-in"), false);
  show(byId("app"), true);
  say(byId("who"), `${session.user.name}, ${session.user.role}`);
  stream.start();
  for (const one of polled) one.start();
  byId("main").focus();
}

byId("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [username, password, button, error] = [
    "username",
    "password",
    "sign-in-button",
    "sign-in-error",
  ].map(byId);
  if (button.disabled) return;
  if (!username.value || !password.value) {
    say(error, "Both a user name and a password are needed.");
    (username.value ? password : username).focus();
    return;
  }
  button.disabled = true;
  say(error, "");
  try {
    await session.signIn(username.value, password.value);
    password.value = "";
    enter();
  } catch (fault) {
    if (!("status" in fault)) throw fault;
    say(error, fault.message);
    password.select();
  } finally {
    button.disabled = false;
  }
});

byId("sign-out").addEventListener("click", () => session.signOut());

session.addEventListener("ended", (event) => {
  stream.stop();
  for (const one of polled) one.stop();
  closeDialogs();
  alerts.clear();
  store.clear();
  // What was shown is not for whoever comes next.
  store.touch("alerts", "webhooks", "deliveries", "jobs", "anomalies");
  document.title = "Tocsin";
  askToSignIn(event.detail);
});

// The stream

stream.addEventListener("message", ({ detail: message }) => {
  store.take(message);
  if (message.type === "snapshot")
    alerts
      .load()
      .catch(
        () => stream.state.name === "live" && later(AGAIN_MS, () => alerts.load().catch(() => {})),
      );
});

let tick = null;
stream.addEventListener("state", ({ detail: state }) => {
  clearInterval(tick);
  if (state.name === "away") {
    store.gap();
    tick = setInterval(() => tell(stream.state), 1000);
  }
  if (state.name === "live") {
    lookForNewRelease();
    for (const one of polled) one.refresh();
  }
  tell(state);
});

function tell(state) {
  mark(byId("connection"), "data-state", state.name);
  mark(byId("app"), "data-away", state.name === "away");
  const texts = {
    connecting: "Connecting",
    live: "Live",
    database: `Every ${state.beat} s`,
    away: "Away",
  };
  say(byId("connection-text"), texts[state.name]);
  const banner = byId("banner");
  mark(banner, "data-tone", state.name === "away" ? "critical" : "warning");
  if (state.name === "away") {
    const wait = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    say(
      banner,
      `No connection since ${clock(state.since)}. ${state.reason} ${wait ? `Trying again in ${roughly(wait)}.` : "Trying again."}`,
    );
  } else if (state.name === "database") {
    say(
      banner,
      `Redis is away. Nothing is lost: figures and news come from the database, every ${state.beat} s.`,
    );
  }
  show(banner, state.name === "away" || state.name === "database");
}

/** After a restart the server may have another page: then this one makes way, when nobody is in the middle of something. */
async function lookForNewRelease() {
  const answer = await fetch("/", { cache: "no-cache" }).catch(() => null);
  if (!answer?.ok) return;
  const theirs = /data-release="(\w+)"/.exec(await answer.text())?.[1];
  const ours = document.documentElement.dataset.release;
  const isIdle = document.querySelector("dialog[open]") === null && session.isSignedIn;
  if (theirs && theirs !== ours && isIdle) location.reload();
}

// The title, which is seen where the page is not

store.watch("alerts", entitle);
store.watch("metrics", entitle);

let icon = "icon.svg";

function entitle() {
  const { pending, isCritical } = urgency(store);
  const title = session.isSignedIn && pending ? `(${pending}) Tocsin` : "Tocsin";
  if (document.title !== title) document.title = title;
  const wanted = isCritical ? "icon-alert.svg" : "icon.svg";
  if (icon === wanted) return;
  icon = wanted;
  byId("icon").href = new URL(wanted, import.meta.url).href;
}

begin();
