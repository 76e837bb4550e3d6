// Who is signed in, and requests to the API as them.

import { hearTime } from "./time.js";

const KEPT = "tocsin.refresh";
const ALMOST_OVER_MS = 30_000;
// Of an access token's life; then it is exchanged for a new one.
const RENEW_AT = 0.8;
const AGAIN_MS = 5_000;
const PATIENCE_MS = 30_000;
// A page that is loaded again waits for what it was before to be gone.
const CLAIM_MS = 2_000;

export class ApiError extends Error {
  /** `status` is 0 when nobody answered. */
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Access tokens are in memory only. The refresh token is in sessionStorage, so that a reload of
 * this tab stays signed in, and no other tab or later session has it.
 *
 * Events: `renewed` when there is a new access token, `ended` when nobody is signed in any more.
 */
export class Session extends EventTarget {
  #access = null;
  #refresh = null;
  #endsAt = 0;
  #renewing = null;
  #timer = null;
  #letGo = null;
  user = null;

  get isSignedIn() {
    return this.user !== null;
  }

  may(role) {
    const roles = ["viewer", "operator", "admin"];
    return this.isSignedIn && roles.indexOf(this.user.role) >= roles.indexOf(role);
  }

  /** Throws ApiError. */
  async signIn(username, password) {
    this.#take(await send("POST", "/auth/login", { body: { username, password } }));
    await this.#claim();
    this.user = await this.api("/auth/me");
  }

  /** Whether somebody was signed in here before. Throws ApiError when that can't be known now. */
  async resume() {
    this.#refresh ??= recall();
    if (this.#refresh === null) return false;
    if (!(await this.#claim())) {
      this.#forget();
      return false;
    }
    try {
      await this.#renew();
      this.user = await this.api("/auth/me");
    } catch (error) {
      if (error.status !== 401) throw error;
      this.#forget();
      return false;
    }
    return true;
  }

  async signOut() {
    const token = this.#access;
    this.#end("You are signed out.");
    try {
      // It is sent to its end though the tab be closed meanwhile.
      await send("POST", "/auth/logout", { token, keepalive: true });
    } catch {
      // The tokens are forgotten here in any case, and end by themselves.
    }
  }

  /** The answer to a request, as JSON, or null without a body. Throws ApiError. */
  async api(path, { method = "GET", body } = {}) {
    if (Date.now() > this.#endsAt - ALMOST_OVER_MS) await this.#renew();
    try {
      return await send(method, path, { body, token: this.#access });
    } catch (error) {
      if (error.status !== 401) throw error;
    }
    await this.#renew();
    return send(method, path, { body, token: this.#access });
  }

  /**
   * Whether no other tab has this login. A tab that was duplicated has the refresh token too, and
   * used twice it would end the login of both. Where the page is not served securely, nobody knows.
   */
  #claim() {
    if (this.#letGo !== null || navigator.locks === undefined) return true;
    const options = { signal: AbortSignal.timeout(CLAIM_MS) };
    return new Promise((answer) => {
      const hold = () => {
        answer(true);
        return new Promise((letGo) => {
          this.#letGo = letGo;
        });
      };
      navigator.locks
        .request(`tocsin.${loginOf(this.#refresh)}`, options, hold)
        .catch(() => answer(false));
    });
  }

  /** Once for all who ask at the same time: a refresh token is good for one use. */
  #renew() {
    this.#renewing ??= this.#exchange().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  async #exchange() {
    const refresh = this.#refresh;
    if (refresh === null) throw new ApiError(401, "Nobody is signed in.");
    try {
      this.#take(await send("POST", "/auth/refresh", { token: refresh }));
    } catch (error) {
      if (error.status === 401 && this.#refresh === refresh && this.isSignedIn) {
        this.#end("Your session has ended. Please sign in again.");
      }
      throw error;
    }
    this.dispatchEvent(new Event("renewed"));
  }

  #take(tokens) {
    this.#access = tokens.access_token;
    this.#refresh = tokens.refresh_token;
    this.#endsAt = Date.now() + tokens.expires_in * 1000;
    remember(this.#refresh);
    this.#renewIn(tokens.expires_in * 1000 * RENEW_AT);
  }

  #renewIn(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#renew().catch((error) => {
        if (error.status !== 401) this.#renewIn(AGAIN_MS);
      });
    }, milliseconds);
  }

  #end(reason) {
    this.#forget();
    this.dispatchEvent(new CustomEvent("ended", { detail: reason }));
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#letGo?.();
    this.#access = this.#refresh = this.#letGo = this.user = null;
    this.#endsAt = 0;
    remember(null);
  }
}

async function send(method, path, { body, token, keepalive = false } = {}) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit",
      keepalive,
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new ApiError(0, "The server does not answer.");
  }
  hearTime(answer.headers.get("Date"));
  if (answer.status === 204) return null;
  const found = await answer.json().catch(() => null);
  if (answer.ok) return found;
  const faults = Object.entries(found?.errors ?? {}).map(
    ([field, messages]) => `${field}: ${messages.join(" ")}`,
  );
  throw new ApiError(
    answer.status,
    [found?.detail ?? `The server answered ${answer.status}.`, ...faults].join(" "),
    Number(answer.headers.get("Retry-After")) || null,
  );
}

function recall() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function remember(token) {
  try {
    if (token === null) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, token);
  } catch {
    // Without storage a reload asks for the password again.
  }
}

/** The id of the login that a token belongs to. */
function loginOf(token) {
  try {
    const claims = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(claims)).sid;
  } catch {
    return "";
  }
}
