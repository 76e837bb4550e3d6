// The socket: it comes back by itself, and says how it is.

import { later } from "./time.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
// Figures come every second, or every five with Redis away: who is silent for so long is gone.
const SILENT_MS = 20_000;
const LOOK_MS = 1_000;
// How often all is asked for anew when this page can't keep up.
const FRESH_EVERY_MS = 10_000;
const RESTART = 1012;

/**
 * Events: `message` with {type, seq, timestamp, data}; `state` with
 * {name: "connecting" | "live" | "database" | "away", beat?, since?, retryAt?, reason?}.
 */
export class Stream extends EventTarget {
  #session;
  #socket = null;
  #opening = null;
  #seq = null;
  #heardAt = 0;
  #failures = 0;
  #retry = null;
  #watch = null;
  #freshAt = 0;
  #attempt = 0;
  state = { name: "connecting" };

  constructor(session) {
    super();
    this.#session = session;
    session.addEventListener("renewed", () => this.#replace());
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
  }

  start() {
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
    this.#say({ name: "connecting" });
    this.#connect();
  }

  stop() {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#watch = this.#retry = this.#seq = null;
    this.#attempt += 1;
    this.#drop();
    this.#failures = 0;
    this.state = { name: "connecting" };
  }

  /** Don't wait any longer, if it waits. */
  now() {
    if (this.#retry === null) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  get #isRunning() {
    return this.#watch !== null;
  }

  /** A socket lasts as long as its token: another one takes its place before that is over. */
  #replace() {
    if (this.#isRunning && this.#socket?.readyState === WebSocket.OPEN) this.#connect();
  }

  async #connect({ isFresh = false } = {}) {
    this.#retry = null;
    const attempt = (this.#attempt += 1);
    let ticket;
    try {
      ({ ticket } = await this.#session.api("/auth/ws-ticket", { method: "POST" }));
    } catch (error) {
      if (attempt === this.#attempt && this.#isRunning) this.#comeBack(error.message, error.retryAfter);
      return;
    }
    if (attempt !== this.#attempt || !this.#isRunning) return;
    const url = new URL("/api/v1/ws/dashboard", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    if (this.#seq !== null && !isFresh) url.searchParams.set("since", this.#seq);
    const before = this.#socket;
    const socket = (this.#opening = new WebSocket(url));
    this.#heardAt = Date.now();
    socket.onopen = () => {
      if (attempt !== this.#attempt) return socket.close();
      if (before !== null) before.onmessage = before.onclose = null;
      before?.close();
      this.#socket = socket;
      this.#opening = null;
      this.#heardAt = Date.now();
      // With nothing missed, no message says so: the open socket does.
      this.#say({ name: "live" });
    };
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => {
      if (attempt === this.#attempt && this.#isRunning) this.#lost(event);
    };
  }

  #hear(message) {
    this.#heardAt = Date.now();
    this.#failures = 0;
    this.#seq = message.seq;
    if (message.type === "status" || message.type === "snapshot") this.#source(message.data);
    else if (message.type === "dropped") this.#fresh();
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #source({ source, beat_seconds: beat }) {
    if (source === "database") this.#say({ name: "database", beat: beat ?? this.state.beat ?? 5 });
    else this.#say({ name: "live" });
  }

  /** What was lost on the way can't be asked for; a snapshot says how it all is. */
  #fresh() {
    if (Date.now() < this.#freshAt) return;
    this.#freshAt = Date.now() + FRESH_EVERY_MS;
    this.#connect({ isFresh: true });
  }

  #lost({ code, reason }) {
    this.#socket = this.#opening = null;
    if (code === RESTART) this.#comeBack("The server restarts.", Math.random());
    else this.#comeBack(reason || "The connection was lost.");
  }

  #comeBack(reason, seconds = null) {
    if (!this.#session.isSignedIn) return;
    const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    // Jitter, so that a hundred pages do not come back at the same moment.
    const wait = seconds === null ? most * (0.5 + Math.random() / 2) : seconds * 1000;
    this.#failures += 1;
    const since = this.state.name === "away" ? this.state.since : Date.now();
    this.#say({ name: "away", since, reason, retryAt: Date.now() + wait });
    clearTimeout(this.#retry);
    this.#retry = later(wait, () => this.#connect());
  }

  #look() {
    const isAlone = this.#socket === null && this.#opening === null;
    if (isAlone || Date.now() - this.#heardAt < SILENT_MS) return;
    this.#attempt += 1;
    this.#drop();
    this.#comeBack("Nothing was heard for a while.");
  }

  #drop() {
    for (const socket of [this.#socket, this.#opening]) {
      if (socket === null) continue;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#socket = this.#opening = null;
  }

  #say(state) {
    if (state.name === this.state.name && state.name !== "away" && state.beat === this.state.beat) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
