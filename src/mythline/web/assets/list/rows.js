// Which rows a list has: sessions in their order, with the days between them.

import { day } from "../lib/words.js";

/** @import { Place, Summary } from "../lib/types.js" */
/** @import { Row } from "./row.js" */

/** What each stands under; a calendar takes longer than all else. @type {WeakMap<Summary, string>} */
let headings = new WeakMap();
let headingsOf = "";

/**
 * @param {Summary[]} sessions
 * @param {Place} place
 * @returns {Row[]}
 */
export function withDays(sessions, place) {
  /** @type {Row[]} */
  const rows = [];
  let last = "";
  let nth = 0;
  const now = new Date();
  const of = `${now.toDateString()} ${place.within} ${place.order}`;
  if (of !== headingsOf) headings = new WeakMap();
  headingsOf = of;
  for (const session of sessions) {
    let name = headings.get(session);
    if (name === undefined) {
      name = heading(session, place, now);
      headings.set(session, name);
    }
    if (name && name !== last) rows.push({ day: name });
    last = name;
    nth += 1;
    rows.push({ session, place: nth });
  }
  return rows;
}

/** @param {Summary} session @param {Place} place @param {Date} now */
function heading(session, place, now) {
  if (place.within === "trash") return `Deleted ${inSentence(day(session.deleted ?? "", now))}`;
  if (session.pinned) return "Pinned";
  return place.order ? "All" : day(session.last_modified, now);
}

/** @param {string} name */
function inSentence(name) {
  return /^(?:Today|Yesterday|Last)/.test(name) ? name.toLowerCase() : name;
}

/**
 * Put a session where it belongs now, or take it out. `sessions` are in the order of the last save.
 * @param {Summary[]} sessions
 * @param {Summary} session
 * @param {Place} place
 * @param {boolean} isWhole whether all sessions are loaded: else what is after the last is left out
 * @returns {Summary[]}
 */
export function placed(sessions, session, place, isWhole) {
  const others = sessions.filter((each) => each.session_id !== session.session_id);
  if (!belongs(session, place)) return others;
  let at = others.findIndex((each) => comesBefore(session, each));
  if (at < 0) {
    if (!isWhole) return others;
    at = others.length;
  }
  return [...others.slice(0, at), session, ...others.slice(at)];
}

/** @param {Summary} one @param {Summary} other */
function comesBefore(one, other) {
  if (one.pinned !== other.pinned) return one.pinned;
  return one.last_modified > other.last_modified;
}

/** @param {Summary} session @param {Place} place */
function belongs(session, place) {
  if (place.within === "trash") return false;
  if (session.archived !== (place.within === "archived")) return false;
  if (place.tag && !session.tags.includes(place.tag)) return false;
  const text = `${session.title ?? ""}\n${session.preview}`.toLowerCase();
  return !place.q || text.includes(place.q.toLowerCase());
}
