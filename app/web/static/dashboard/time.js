// The server's time, and what is done again and again.

import { say } from "./dom.js";

let offset = 0;

/** What an answer says in its Date: the clocks of people's machines are often wrong. */
export function hearTime(date) {
  const heard = Date.parse(date) - Date.now();
  // It is in whole seconds, and a little late.
  if (Math.abs(heard - offset) > 2_000) offset = heard;
}

export const serverNow = () => Date.now() + offset;

export const age = (at) => Math.max(0, (serverNow() - Date.parse(at)) / 1000);

export const later = (milliseconds, act) => setTimeout(act, milliseconds);

/**
 * Asks for something now and every so many seconds while somebody looks. A failure is said in
 * `note`, until it goes well again. `stop()` ends it, `now()` asks at once.
 */
export function poll(seconds, note, ask) {
  let timer = null;
  let isOver = false;
  let isDue = false;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden) {
      isDue = true;
      return;
    }
    isDue = false;
    let wait = seconds;
    try {
      await ask();
      say(note, "");
    } catch (error) {
      if (!("status" in error)) throw error;
      if (isOver) return;
      wait = Math.max(seconds, error.retryAfter ?? 0);
      say(note, `Not read: ${error.message}`);
    }
    if (!isOver) {
      clearTimeout(timer);
      // Not all at the same moment.
      timer = later(wait * 1000 * (0.95 + Math.random() / 10), turn);
    }
  };
  const look = () => !document.hidden && isDue && turn();
  document.addEventListener("visibilitychange", look);
  turn();
  return {
    now: turn,
    stop() {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    },
  };
}
