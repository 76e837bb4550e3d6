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
// They have no number of their own.
const OF_THIS_SOCKET = new Set(["snapshot", "status", "dropped"]);

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
    if (this.#isRunning && this.#socket !== null) this.#connect();
  }

  async #connect({ isFresh = false } = {}) {
    this.#retry = null;
    const attempt = (this.#attempt += 1);
    let ticket;
    try {
      ({ ticket } = await this.#session.api("/auth/ws-ticket", { method: "POST" }));
    } catch (error) {
      // One that is still there goes on; when it ends, another is asked for.
      if (attempt === this.#attempt && this.#isRunning && this.#socket === null)
        this.#comeBack(error.message, error.retryAfter);
      return;
    }
    if (attempt !== this.#attempt || !this.#isRunning) return;
    const url = new URL("/api/v1/ws/dashboard", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    if (this.#seq !== null && !isFresh) url.searchParams.set("since", this.#seq);
    this.#open(new WebSocket(url));
  }

  /** It takes the place of the one before with its first message: a refusal comes after the handshake. */
  #open(socket) {
    leave(this.#opening);
    this.#opening = socket;
    if (this.#socket === null) this.#heardAt = Date.now();
    socket.onmessage = (event) => {
      if (socket === this.#opening) {
        leave(this.#socket);
        this.#socket = socket;
        this.#opening = null;
      }
      this.#hear(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.#opening) this.#opening = null;
      else this.#socket = null;
      if (this.#socket === null && this.#opening === null) this.#lost(event);
    };
  }

  #hear(message) {
    this.#heardAt = Date.now();
    this.#failures = 0;
    // Two sockets that overlap tell some things twice.
    if (message.seq < this.#seq && !OF_THIS_SOCKET.has(message.type)) return;
    this.#seq = message.seq;
    if (message.type === "status" || message.type === "snapshot") this.#source(message.data);
    else if (this.state.name !== "database") this.#say({ name: "live" });
    if (message.type === "dropped") this.#fresh();
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
    leave(this.#socket);
    leave(this.#opening);
    this.#socket = this.#opening = null;
  }

  #say(state) {
    if (state.name === this.state.name && state.name !== "away" && state.beat === this.state.beat)
      return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

function leave(socket) {
  if (socket === null) return;
  socket.onmessage = socket.onclose = null;
  socket.close();
}
