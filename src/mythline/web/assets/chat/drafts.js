// What is written but not sent: it outlives a reload, for each session of this tab.

/** @import { Place } from "../lib/types.js" */

/** @param {Place} place */
function key({ agent, session }) {
  return `mythline-draft ${agent} ${session}`;
}

/** @param {Place} place */
export function draft(place) {
  try {
    return sessionStorage.getItem(key(place)) ?? "";
  } catch {
    return "";
  }
}

/** @param {Place} place @param {string} text */
export function keepDraft(place, text) {
  try {
    if (text) sessionStorage.setItem(key(place), text);
    else sessionStorage.removeItem(key(place));
  } catch {
    // storage is switched off
  }
}
