// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const NOTHING = "–";

export const count = (n) =>
  n === null || n === undefined ? NOTHING : n < 100000 ? whole.format(n) : short.format(n);

/** A number of any size with three digits that count. */
export function figure(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return NOTHING;
  const size = Math.abs(n);
  if (size === 0) return "0";
  if (size >= 100000) return short.format(n);
  if (size >= 100) return whole.format(n);
  if (size >= 1) return one.format(n);
  return String(Number(n.toPrecision(2)));
}

export function milliseconds(n) {
  if (n === null || n === undefined) return NOTHING;
  if (n >= 60000) return seconds(n / 1000);
  if (n >= 1000) return `${figure(n / 1000)} s`;
  return `${figure(n)} ms`;
}

/** A stretch of time: its largest unit, and the next where that says much. */
export function seconds(n) {
  if (n === null || n === undefined) return NOTHING;
  const s = Math.max(0, Math.round(n));
  if (s < 60) return `${s} s`;
  if (s < 3600)
    return s < 600 && s % 60
      ? `${Math.floor(s / 60)} min ${s % 60} s`
      : `${Math.floor(s / 60)} min`;
  if (s < 86400) {
    const minutes = Math.floor((s % 3600) / 60);
    return minutes ? `${Math.floor(s / 3600)} h ${minutes} min` : `${Math.floor(s / 3600)} h`;
  }
  const hours = Math.floor((s % 86400) / 3600);
  return hours && s < 864000
    ? `${Math.floor(s / 86400)} d ${hours} h`
    : `${Math.floor(s / 86400)} d`;
}

/** Rounded more, for what grows while one looks. */
export function roughly(n) {
  const s = Math.max(0, Math.round(n));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export function percent(part) {
  if (part === null || part === undefined) return NOTHING;
  // What is not all must not look like all.
  const shown = part < 1 ? Math.min(part * 100, 99.99) : 100;
  return `${shown >= 99.9 && shown < 100 ? shown.toFixed(2) : shown === 100 || shown === 0 ? shown : shown.toFixed(1)} %`;
}

const clockOf = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const minuteOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayOf = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});

export const clock = (at) => clockOf.format(new Date(at));
export const minute = (at) => minuteOf.format(new Date(at));
export const day = (at) => dayOf.format(new Date(at));

/** The time of day, with the day where it is not of these hours. */
export const moment = (at, now = Date.now()) =>
  Math.abs(now - new Date(at)) < 43200000 ? clock(at) : day(at);

export const plural = (n, word, words = `${word}s`) => `${count(n)} ${n === 1 ? word : words}`;
