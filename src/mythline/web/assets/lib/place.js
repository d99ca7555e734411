// Where one is: the address is all of the page's state that is worth keeping.

/** @import { Place } from "./types.js" */

/** @type {Place} */
const NOWHERE = {
  agent: "",
  session: "",
  entry: "",
  at: "",
  within: "",
  tag: "",
  q: "",
  order: "",
  find: null,
  show: "",
};

/** @type {Set<(place: Place, before: Place) => void>} */
const listeners = new Set();
/** @type {Place} */
let current = read();

/** @returns {Place} */
function read() {
  const query = new URLSearchParams(location.search);
  const word = (/** @type {string} */ name) => query.get(name) ?? "";
  const within = word("in");
  const order = word("order");
  return {
    agent: word("agent"),
    session: word("session"),
    entry: decode(location.hash.slice(1)),
    at: word("at"),
    within: within === "archived" || within === "trash" ? within : "",
    tag: word("tag"),
    q: word("q"),
    order: order === "created" || order === "title" ? order : "",
    find: query.get("find"),
    show: word("show") === "storage" ? "storage" : "",
  };
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** The place that is shown. */
export function here() {
  return current;
}

/**
 * The address of a place, from here.
 * @param {Partial<Place>} change
 */
export function address(change) {
  const place = { ...current, ...change };
  const query = new URLSearchParams();
  for (const [name, value] of [
    ["agent", place.agent],
    ["session", place.session],
    ["at", place.at],
    ["in", place.within],
    ["tag", place.tag],
    ["q", place.q],
    ["order", place.order],
    ["show", place.show],
  ]) {
    if (value) query.set(name, value);
  }
  if (place.find !== null) query.set("find", place.find);
  const text = query.toString();
  const hash = place.entry ? `#${encodeURIComponent(place.entry)}` : "";
  return `${location.pathname}${text ? `?${text}` : ""}${hash}`;
}

/**
 * Go somewhere else.
 * @param {Partial<Place>} change
 * @param {{ replace?: boolean }} [options] `replace` makes no step for the way back
 */
export function go(change, options) {
  const to = address(change);
  if (options?.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  arrive();
}

function arrive() {
  const before = current;
  current = read();
  for (const listener of listeners) listener(current, before);
}

/**
 * Be told of every new place, and of the one it was before.
 * @param {(place: Place, before: Place) => void} listener
 */
export function onPlace(listener) {
  listeners.add(listener);
}

/** Other agent, other session: what belongs to the one that is left. */
export const NO_SESSION = { session: "", entry: "", at: "" };
export const NO_FILTER = { within: /** @type {const} */ (""), tag: "", q: "" };
export { NOWHERE };

addEventListener("popstate", arrive);

// Links within the page are followed without a load; with a key held they do what they always do.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
  if (event.shiftKey || event.altKey || !(event.target instanceof Element)) return;
  const link = event.target.closest("a[data-here]");
  if (!(link instanceof HTMLAnchorElement)) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  arrive();
});
