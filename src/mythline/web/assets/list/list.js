// The list of sessions: pages of it as one scrolls, kept up to date.

import { ask, isPassing, LATER, page, Problem, sessionsPath, told, withQuery } from "../lib/api.js";
import { calm, fill, h } from "../lib/dom.js";
import { onEvent } from "../lib/live.js";
import { address, go, here, NO_FILTER } from "../lib/place.js";
import { DAY, drawDay, drawSession, ROW } from "./row.js";
import { placed, withDays } from "./rows.js";
import { Selection } from "./selection.js";
import { VirtualList } from "./virtual.js";

/** @import { Info, Place, Summary } from "../lib/types.js" */
/** @import { Row } from "./row.js" */

const FIRST = 60;
const MORE = [200, 500, 1000];
const ONE_BY_ONE = 20;

/** What of a place the list depends on. @param {Place} place */
function listed(place) {
  return JSON.stringify([place.agent, place.within, place.tag, place.q, place.order]);
}

export class SessionList {
  /** @param {{ onNew: () => void, onTags: (tags: string[]) => void }} options */
  constructor(options) {
    this.options = options;
    this.canvas = h("ul", { class: "canvas", "aria-label": "Sessions" });
    this.note = h("div", { class: "note" });
    this.scroller = h("div", { class: "scroller", onkeydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event) }, this.canvas, this.note);
    this.total = h("p", { class: "total", role: "status" });
    this.selection = new Selection(this);
    this.element = h("div", { class: "list" }, this.scroller, this.selection.element);
    /** @type {VirtualList<Row>} */
    this.virtual = new VirtualList(
      this.scroller,
      this.canvas,
      {
        height: (row) => ("day" in row ? DAY : ROW),
        key: (row) => ("day" in row ? `day ${row.day}` : `session ${row.session.session_id}`),
        draw: (row, _, old) => this.draw(row, old),
      },
      () => void this.more(),
    );
    /** @type {Summary[]} */
    this.sessions = [];
    /** @type {string | null} */
    this.next = null;
    /** @type {number | null} */
    this.count = null;
    this.pages = 0;
    this.isLoading = false;
    /** @type {unknown} */
    this.error = null;
    this.what = "";
    this.stop = "";
    /** What `firstId` found, as every row asks for it. */
    this.known = { of: this.sessions, open: "", id: "" };
    this.controller = new AbortController();
    /** What happened last, by session. @type {Map<string, string>} */
    this.changed = new Map();
    this.refreshSoon = calm(150, () => void this.refresh());
    onEvent((event) => {
      if (event.type === "reset") this.changed.set("", event.type);
      else if (event.agent_id === here().agent && event.session_id) this.changed.set(event.session_id, event.type);
      else return;
      this.refreshSoon();
    });
  }

  /** @param {Place} place */
  show(place) {
    if (listed(place) !== this.what) {
      this.what = listed(place);
      this.selection.clear();
      this.stop = place.session;
      void this.reload(true);
      return;
    }
    if (place.session) this.stop = place.session;
    this.virtual.show(true);
  }

  /** The path of the first page. @param {number} limit */
  first(limit) {
    const place = here();
    if (place.within === "trash") return withQuery(sessionsPath(place.agent, "trash"), { limit });
    return withQuery(sessionsPath(place.agent), {
      limit,
      pinned_first: true,
      count: true,
      archived: place.within === "archived" ? "true" : null,
      tag: place.tag,
      q: place.q,
      order: place.order,
    });
  }

  /**
   * Load the list from its start.
   * @param {boolean} [isOther] whether it is another list than before
   */
  async reload(isOther = false) {
    this.controller.abort();
    const controller = new AbortController();
    this.controller = controller;
    if (!here().agent) {
      this.take([], null, null, isOther);
      return;
    }
    this.isLoading = true;
    this.error = null;
    if (isOther) {
      this.scroller.scrollTop = 0;
      this.sessions = [];
      this.virtual.set([]);
    }
    this.tell();
    try {
      const limit = isOther ? FIRST : Math.min(1000, Math.max(FIRST, this.sessions.length));
      const found = await page(this.first(limit), controller.signal);
      if (controller.signal.aborted) return;
      this.isLoading = false;
      this.pages = 0;
      this.take(found.rows, found.next, found.total, isOther);
    } catch (error) {
      if (controller.signal.aborted) return;
      this.isLoading = false;
      this.error = error;
      this.tell();
    }
  }

  /** Load the next page. */
  async more() {
    if (!this.next || this.isLoading || this.error) return;
    const { controller, next } = this;
    this.isLoading = true;
    const limit = MORE[Math.min(this.pages, MORE.length - 1)];
    this.pages += 1;
    try {
      const found = await page(next.replace(/([?&]limit=)\d+/, `$1${limit}`), controller.signal);
      if (controller.signal.aborted) return;
      this.isLoading = false;
      const known = new Set(this.sessions.map((session) => session.session_id));
      const fresh = found.rows.filter((/** @type {Summary} */ row) => !known.has(row.session_id));
      this.take([...this.sessions, ...fresh], found.next, found.total ?? this.count);
    } catch (error) {
      if (controller.signal.aborted) return;
      this.isLoading = false;
      this.error = error;
      this.tell();
    }
  }

  /**
   * @param {Summary[]} sessions
   * @param {string | null} next
   * @param {number | null} total
   * @param {boolean} [isOther]
   */
  take(sessions, next, total, isOther = false) {
    this.sessions = sessions;
    this.next = next;
    this.count = total;
    this.selection.keep(sessions);
    this.virtual.set(withDays(sessions, here()), { keep: !isOther });
    this.options.onTags([...new Set(sessions.flatMap((session) => session.tags))].sort());
    this.tell();
  }

  /** Look at what changed since. */
  async refresh() {
    const changed = new Map(this.changed);
    const ids = [...changed.keys()];
    this.changed.clear();
    const place = here();
    if (!place.agent || !ids.length) return;
    if (ids.length > ONE_BY_ONE || ids.includes("") || place.order || place.within === "trash") {
      await this.reload();
      return;
    }
    const what = this.what;
    /** @type {(Info | null)[] | null} */
    let found = null;
    try {
      found = await Promise.all(
        ids.map((id) => (/^(?:deleted|purged)$/.test(changed.get(id) ?? "") ? null : lookUp(place.agent, id))),
      );
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
    if (!found || what !== this.what || this.isLoading) {
      this.changed = new Map([...changed, ...this.changed]); // still to be looked at
      if (!found) setTimeout(this.refreshSoon, LATER);
      else if (what === this.what) this.refreshSoon();
      return;
    }
    const infos = found;
    const before = this.sessions.length;
    let sessions = this.sessions;
    ids.forEach((id, index) => {
      const info = infos[index];
      sessions = info
        ? placed(sessions, info, place, !this.next)
        : sessions.filter((session) => session.session_id !== id);
    });
    const total = this.count === null ? null : this.count + sessions.length - before;
    this.take(sessions, this.next, total);
  }

  /** Say how many there are, that they come, or why they don't. */
  tell() {
    const place = here();
    const isFiltered = Boolean(place.tag || place.q);
    const total = this.count ?? (this.next ? null : this.sessions.length);
    this.total.textContent =
      total === null || !place.agent ? "" : `${total.toLocaleString()} ${total === 1 ? "session" : "sessions"}`;
    if (this.error) {
      fill(
        this.note,
        h("p", { role: "alert" }, told(this.error)),
        h("button", { type: "button", onclick: () => void this.retry() }, "Try again"),
      );
    } else if (this.isLoading || this.next) {
      fill(this.note, h("p", { class: "loading" }, "Loading…"));
    } else if (this.sessions.length || !place.agent) {
      fill(this.note);
    } else if (isFiltered) {
      fill(
        this.note,
        h("p", null, "No session matches."),
        h("a", { class: "button", href: address(NO_FILTER), "data-here": true }, "Show all"),
      );
    } else if (place.within === "trash") {
      fill(this.note, h("p", null, "The trash is empty."));
    } else if (place.within === "archived") {
      fill(this.note, h("p", null, "Nothing is archived."));
    } else {
      fill(
        this.note,
        h("p", null, "No sessions yet."),
        h("button", { type: "button", class: "main", onclick: this.options.onNew }, "Start the first one"),
      );
    }
  }

  async retry() {
    this.error = null;
    if (this.sessions.length && this.next) await this.more();
    else await this.reload(true);
  }

  /** @param {Row} row @param {HTMLElement | null} old */
  draw(row, old) {
    if ("day" in row) return drawDay(row.day, old);
    const { session } = row;
    const stop = this.stop || this.firstId();
    return drawSession(
      session,
      {
        isChosen: this.selection.has(session.session_id),
        isCurrent: session.session_id === here().session,
        isStop: session.session_id === stop,
        place: row.place,
        total: this.count ?? (this.next ? -1 : this.sessions.length),
        onChoose: (chosen, event) => this.selection.choose(chosen.session_id, event.shiftKey),
      },
      old,
    );
  }

  /** The session that is open, if it is listed, or else the first. */
  firstId() {
    const { session: open } = here();
    if (this.known.of !== this.sessions || this.known.open !== open) {
      const isListed = Boolean(open) && this.sessions.some((session) => session.session_id === open);
      this.known = { of: this.sessions, open, id: isListed ? open : (this.sessions[0]?.session_id ?? "") };
    }
    return this.known.id;
  }

  /** Draw the rows again: what is selected, or current, changed. */
  redraw() {
    this.virtual.show(true);
  }

  /**
   * Put the focus on a session of the list.
   * @param {number} index among the rows
   */
  focus(index) {
    const row = this.virtual.rows[index];
    if (!row || !("session" in row)) return;
    this.stop = row.session.session_id;
    const element = this.virtual.reveal(index);
    this.virtual.show(true);
    /** @type {HTMLElement | null | undefined} */ (element?.querySelector("a"))?.focus({ preventScroll: true });
  }

  /** Put the focus on the row that is current, or on the first. */
  focusCurrent() {
    const id = this.firstId();
    this.focus(this.virtual.rows.findIndex((row) => "session" in row && row.session.session_id === id));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const element = event.target instanceof Element ? event.target.closest("li.row") : null;
    const id = element instanceof HTMLElement ? element.dataset.session : undefined;
    const at = this.virtual.rows.findIndex((row) => "session" in row && row.session.session_id === id);
    const last = this.virtual.rows.length - 1;
    const screen = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 1);
    /** @type {Record<string, number>} */
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: screen, PageUp: -screen, Home: -last, End: last };
    const step = steps[event.key];
    if (step !== undefined) {
      const direction = Math.sign(step);
      let to = Math.min(last, Math.max(0, at + step));
      if ("day" in (this.virtual.rows[to] ?? {})) to += to === 0 ? 1 : direction;
      if (event.shiftKey && id) this.selection.choose(id, false, true);
      this.focus(to);
      if (event.shiftKey) this.selection.choose(this.stop, false, true);
    } else if ((event.key === " " || event.key === "x") && id) {
      this.selection.choose(id, event.shiftKey);
    } else if ((event.key === "Delete" || event.key === "Backspace") && id) {
      if (!this.selection.size) this.selection.choose(id, false, true);
      void this.selection.remove();
    } else if (event.key === "Escape" && this.selection.size) {
      this.selection.clear();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Go to the session after one that leaves the list, or to none. @param {string[]} ids */
  leave(ids) {
    if (!ids.includes(here().session)) return;
    const gone = new Set(ids);
    const at = this.sessions.findIndex((session) => session.session_id === here().session);
    const next =
      this.sessions.slice(at + 1).find((session) => !gone.has(session.session_id)) ??
      this.sessions.slice(0, Math.max(0, at)).findLast((session) => !gone.has(session.session_id));
    go({ session: next?.session_id ?? "", entry: "", at: "" }, { replace: true });
  }
}

/**
 * @param {string} agent
 * @param {string} id
 * @returns {Promise<Info | null>}
 */
async function lookUp(agent, id) {
  try {
    return await ask(sessionsPath(agent, id, "info"));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}
