// Times, sizes and numbers as people say them, in the reader's language and zone.

const DAY = 86_400_000;
const number = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const shortDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const longDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const monthOf = new Intl.DateTimeFormat(undefined, { month: "long", year: "numeric" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** @param {number} value */
export function count(value) {
  return number.format(value);
}

/**
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export function several(value, one, many = `${one}s`) {
  return `${number.format(value)} ${value === 1 ? one : many}`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  const shown = unit && bytes < 10 ? bytes.toFixed(1) : String(Math.round(bytes));
  return `${shown} ${units[unit]}`;
}

/** @param {Date} date */
function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/**
 * How many days ago, by the calendar.
 * @param {Date} date
 * @param {Date} now
 */
function daysAgo(date, now) {
  return Math.round((midnight(now) - midnight(date)) / DAY);
}

/**
 * The heading that a session stands under.
 * @param {string} stamp
 */
export function day(stamp, now = new Date()) {
  const date = new Date(stamp);
  const ago = daysAgo(date, now);
  if (ago <= 0) return "Today";
  if (ago === 1) return "Yesterday";
  if (ago < 7) return weekday.format(date);
  if (ago < 30) return "Last 30 days";
  return monthOf.format(date);
}

/**
 * A time, as short as it can be told from others like it.
 * @param {string} stamp
 */
export function when(stamp, now = new Date()) {
  const date = new Date(stamp);
  if (daysAgo(date, now) <= 0) return clock.format(date);
  return (date.getFullYear() === now.getFullYear() ? shortDate : longDate).format(date);
}

/** @param {string} stamp */
export function whole(stamp) {
  return exact.format(new Date(stamp));
}

/**
 * How long from now: "in 3 days".
 * @param {string} stamp
 */
export function ahead(stamp, now = Date.now()) {
  const hours = (new Date(stamp).getTime() - now) / 3_600_000;
  if (hours <= 0) return "soon";
  if (hours < 1) return "within the hour";
  if (hours < 36) return `in ${several(Math.round(hours), "hour")}`;
  return `in ${several(Math.round(hours / 24), "day")}`;
}

/**
 * What a session is called.
 * @param {{ title: string | null, session_id: string }} session
 */
export function named(session) {
  return session.title || "New session";
}
