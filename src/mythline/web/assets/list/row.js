// One session in the list.

import { h, icon } from "../lib/dom.js";
import { address, here } from "../lib/place.js";
import { ahead, count, named, several, when, whole } from "../lib/words.js";

/** @import { Summary } from "../lib/types.js" */

/** @typedef {{ day: string }} DayRow */
/** @typedef {{ session: Summary, place: number }} SessionRow `place` from 1 */
/** @typedef {DayRow | SessionRow} Row */

export const ROW = 78;
export const DAY = 34;

/**
 * @typedef {object} Look
 * @property {boolean} isChosen
 * @property {boolean} isCurrent
 * @property {boolean} isStop whether Tab stops here: at one row of the list
 * @property {number} place from 1
 * @property {number} total -1 while it isn't known
 * @property {(session: Summary, event: MouseEvent) => void} onChoose
 */

/** @param {string} name @param {HTMLElement | null} old */
export function drawDay(name, old) {
  const element = old ?? h("li", { class: "day" });
  element.textContent = name;
  return element;
}

/**
 * @param {Summary} session
 * @param {Look} look
 * @param {HTMLElement | null} old
 */
export function drawSession(session, look, old) {
  const focused = old?.contains(document.activeElement)
    ? document.activeElement?.matches("a")
      ? "a"
      : "input"
    : null;
  const element = old ?? h("li", { class: "row" });
  element.dataset.session = session.session_id;
  element.setAttribute("aria-posinset", String(look.place));
  element.setAttribute("aria-setsize", String(look.total));
  element.classList.toggle("chosen", look.isChosen);
  element.replaceChildren(link(session, look), choice(session, look));
  if (focused) /** @type {HTMLElement | null} */ (element.querySelector(focused))?.focus();
  return element;
}

/** @param {Summary} session @param {Look} look */
function link(session, look) {
  const stamp = session.deleted ?? session.last_modified;
  const place = here();
  return h(
    "a",
    {
      href: address({ session: session.session_id, entry: "", at: "", show: "", find: null }),
      "data-here": true,
      class: "open",
      tabindex: look.isStop ? 0 : -1,
      "aria-current": look.isCurrent ? "page" : null,
    },
    h(
      "span",
      { class: "first" },
      session.pinned && place.within !== "trash" && mark("pin", "Pinned"),
      h("span", { class: session.title ? "title" : "title unnamed" }, named(session)),
      h("time", { datetime: stamp, title: whole(stamp) }, when(stamp)),
    ),
    h("span", { class: "preview" }, session.preview || "Nothing said yet"),
    h(
      "span",
      { class: "last" },
      place.within === "trash"
        ? h("span", { class: "purges" }, purges(session))
        : h(
            "span",
            { class: "count", title: several(session.message_count, "message") },
            count(session.message_count),
            h("span", { class: "visually-hidden" }, " messages"),
          ),
      session.tags.map((tag) => h("span", { class: "tag" }, tag)),
    ),
  );
}

/** @param {Summary} session */
function purges(session) {
  return session.purges ? `Gone ${ahead(session.purges)}` : "Kept until you purge it";
}

/** @param {"pin"} name @param {string} label */
function mark(name, label) {
  return h("span", { class: "mark", title: label }, icon(name), h("span", { class: "visually-hidden" }, label));
}

/** @param {Summary} session @param {Look} look */
function choice(session, look) {
  return h(
    "label",
    { class: "choice-of" },
    h("input", {
      type: "checkbox",
      tabindex: -1,
      checked: look.isChosen,
      "aria-label": `Select ${named(session)}`,
      onclick: (/** @type {MouseEvent} */ event) => look.onChoose(session, event),
    }),
  );
}
