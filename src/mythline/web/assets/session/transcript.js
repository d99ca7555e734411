// The transcript: its end first, more of it as one scrolls, what is new as it comes.

import { ask, Problem, sessionsPath, told, withQuery } from "../lib/api.js";
import { h, icon } from "../lib/dom.js";
import { drawItem, pair } from "./items.js";

/** @import { Branch, Item, Transcript as Page } from "../lib/types.js" */

const LIMIT = 40;
const NEAR = 120;

/**
 * @typedef {object} Options
 * @property {(item: Item) => HTMLElement[]} buttons
 * @property {(branches: Branch[]) => HTMLElement} parting what stands where branches part
 */

export class Transcript {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.older = h("div", { class: "edge" });
    this.list = h("div", { class: "items" });
    this.newer = h("div", { class: "edge" });
    this.coming = h("div", { class: "items" });
    this.column = h("div", { class: "column" }, this.older, this.list, this.newer, this.coming);
    this.element = h(
      "section",
      { class: "transcript", tabindex: 0, "aria-label": "Transcript" },
      this.column,
    );
    this.jump = h(
      "button",
      { type: "button", class: "jump", hidden: true, onclick: () => void this.toEnd() },
      icon("down"),
      h("span", null, "To the end"),
    );
    this.said = h("div", { class: "visually-hidden", role: "status" });
    this.agent = "";
    this.session = "";
    this.at = "";
    this.hasBefore = false;
    this.hasAfter = false;
    this.last = "";
    this.revision = "";
    this.isLoading = false;
    this.run = 0;
    /** @type {Set<string>} */
    this.waiting = new Set();
    /** @type {Branch[]} */
    this.branches = [];
    this.element.addEventListener("scroll", () => this.onScroll(), { passive: true });
    const sized = new ResizeObserver(() => this.onResize());
    sized.observe(this.column);
    sized.observe(this.element);
    this.isAtEnd = true;
    this.isFollowing = false;
  }

  /**
   * @param {Record<string, string | number | null>} query
   * @returns {Promise<Page>}
   */
  fetch(query) {
    const path = sessionsPath(this.agent, this.session);
    return ask(
      withQuery(path, { render: "html", include: "tools,thinking,system", limit: LIMIT, ...query }),
    );
  }

  /**
   * Show a session, at its end or at an entry.
   * @param {string} agent
   * @param {string} session
   * @param {{ at?: string, entry?: string, isAgain?: boolean }} where `isAgain`: nobody came for the entry
   * @returns {Promise<boolean>} whether the entry is there, or none was asked for
   */
  async load(agent, session, where) {
    const isSame = agent === this.agent && session === this.session;
    Object.assign(this, { agent, session, at: where.at ?? "" });
    this.run += 1;
    const { run } = this;
    this.isLoading = true;
    try {
      const [page, isFound] = await this.start(where.entry ?? "");
      if (run !== this.run) return true;
      this.list.replaceChildren();
      if (!isSame) this.coming.replaceChildren();
      this.hasBefore = page.has_before;
      this.hasAfter = page.has_after;
      this.add(page, "end");
      if (where.entry && isFound) this.reveal(where.entry, where.isAgain);
      else this.scrollToEnd();
      return isFound;
    } finally {
      if (run === this.run) this.isLoading = false;
    }
  }

  /** @param {string} entry @returns {Promise<[Page, boolean]>} */
  async start(entry) {
    if (!entry) return [await this.fetch({ at: this.at }), true];
    try {
      return [await this.around(entry), true];
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 0 || error.status >= 500) throw error;
      return [await this.fetch({ at: this.at }), false];
    }
  }

  /** The page with an entry in its middle. @param {string} entry @returns {Promise<Page>} */
  async around(entry) {
    if (this.at) return this.fetch({ at: this.at, limit: 200 });
    const after = await this.fetch({ after: entry });
    const [first] = after.messages;
    if (!first) return this.fetch({});
    const before = await this.fetch({ before: first.entry_id });
    return {
      ...after,
      messages: [...before.messages, ...after.messages],
      has_before: before.has_before,
    };
  }

  /** @param {Page} page @param {"start" | "end"} where */
  add(page, where) {
    this.revision = page.revision;
    const of = { agent: this.agent, session: this.session, buttons: this.options.buttons };
    const elements = page.messages.map((item) => drawItem(item, of));
    if (where === "start") {
      const height = this.element.scrollHeight - this.element.scrollTop;
      this.list.prepend(...elements);
      this.finish();
      this.element.scrollTop = this.element.scrollHeight - height;
    } else {
      this.list.append(...elements);
      this.last = page.messages.at(-1)?.entry_id ?? this.last;
      this.finish();
    }
  }

  finish() {
    pair(this.list, this.waiting);
    this.drawPartings();
    this.drawEdges();
  }

  /** @param {{ waiting: Set<string>, branches: Branch[] }} known */
  know({ waiting, branches }) {
    this.waiting = waiting;
    this.branches = branches;
    const stays = this.isAtEnd;
    this.finish();
    this.isAtEnd = stays; // though the header may have grown meanwhile
    this.onResize();
  }

  drawPartings() {
    for (const old of this.list.querySelectorAll(":scope > .parting")) old.remove();
    if (this.at) return;
    /** @type {Map<string, Branch[]>} */
    const places = new Map();
    for (const branch of this.branches) {
      if (!branch.parts_at) continue;
      places.set(branch.parts_at, [...(places.get(branch.parts_at) ?? []), branch]);
    }
    for (const [entry, branches] of places) {
      this.elementsOf(entry).at(-1)?.after(this.options.parting(branches));
    }
  }

  drawEdges() {
    const text = (/** @type {boolean} */ has) => (has ? "Loading…" : "");
    this.older.textContent = text(this.hasBefore);
    this.newer.textContent = text(this.hasAfter);
    this.onScroll();
  }

  /** The elements of an entry, in their order. @param {string} entry */
  elementsOf(entry) {
    return /** @type {HTMLElement[]} */ ([
      ...this.list.querySelectorAll(`[data-entry="${CSS.escape(entry)}"]`),
    ]);
  }

  /** Bring an entry into sight. @param {string} entry @param {boolean} [isAgain] whether it was, before */
  reveal(entry, isAgain = false) {
    const [element] = this.elementsOf(entry);
    if (!element) return false;
    if (isAgain) {
      this.isAtEnd = false;
      element.scrollIntoView({ block: "start" });
      return true;
    }
    for (let each = element; each !== this.list; each = /** @type {HTMLElement} */ (each.parentElement)) {
      if (each instanceof HTMLDetailsElement) each.open = true;
    }
    for (const old of this.list.querySelectorAll(".target")) old.classList.remove("target");
    element.classList.add("target");
    this.isAtEnd = false;
    element.scrollIntoView({ block: "start" });
    element.focus({ preventScroll: true });
    return true;
  }

  /** The last entry that is shown. Its element may not be the last: what tools returned is put to its call. */
  lastEntry() {
    return this.firstEntry() && this.last;
  }

  firstEntry() {
    const first = this.list.querySelector("[data-entry]");
    return first instanceof HTMLElement ? (first.dataset.entry ?? "") : "";
  }

  /** What was said since. */
  async refresh() {
    if (this.at || this.hasAfter) return;
    const run = this.run;
    const last = this.lastEntry();
    const stays = this.isAtEnd;
    const page = await this.fetch(last ? { after: last, limit: 1000 } : {});
    // meanwhile another session, or another refresh, may have come
    if (run !== this.run || last !== this.lastEntry()) return;
    if (!page.messages.length) {
      this.revision = page.revision;
      return;
    }
    this.hasAfter = page.has_after;
    this.add(page, "end");
    if (stays) this.scrollToEnd();
    else this.jump.classList.add("new");
    const said = page.messages.findLast((item) => item.role === "assistant");
    if (said) this.said.textContent = "The agent answered.";
  }

  /** Show it anew, where one is. The focus stays where it is: someone may be writing. */
  async reload() {
    const isAgain = !this.list.contains(document.activeElement);
    const box = this.element.getBoundingClientRect();
    const seen = [...this.list.querySelectorAll("[data-entry]")].find(
      (each) => each.getBoundingClientRect().bottom > box.top + 8,
    );
    const entry = this.isAtEnd || !(seen instanceof HTMLElement) ? "" : (seen.dataset.entry ?? "");
    const target = this.list.querySelector(".target");
    await this.load(this.agent, this.session, { at: this.at, entry, isAgain });
    if (!(target instanceof HTMLElement) || target.isConnected) return;
    this.elementsOf(target.dataset.entry ?? "")[0]?.classList.add("target");
  }

  onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    this.isAtEnd = !this.hasAfter && scrollHeight - scrollTop - clientHeight < NEAR;
    this.jump.hidden = this.isAtEnd;
    if (this.isAtEnd) this.jump.classList.remove("new");
    if (this.hasBefore && scrollTop < 2 * clientHeight) void this.more("start");
    else if (this.hasAfter && scrollHeight - scrollTop < 3 * clientHeight) void this.more("end");
  }

  /** Pictures came, an answer grew, or there is less room: the end stays in sight if it was, and nobody came for a message. */
  onResize() {
    if (this.isAtEnd && !this.list.querySelector(".target")) this.scrollToEnd();
  }

  /** @param {"start" | "end"} where */
  async more(where) {
    if (this.isLoading || !this.list.childElementCount) return;
    this.isLoading = true;
    const { run } = this;
    try {
      /** @type {Record<string, string | null>} */
      const query =
        where === "end"
          ? { after: this.lastEntry() }
          : this.at
            ? { at: this.at, before: this.firstEntry() }
            : { before: this.firstEntry() };
      const page = await this.fetch(query);
      if (run !== this.run) return;
      if (where === "end") this.hasAfter = page.has_after;
      else this.hasBefore = page.has_before;
      this.add(page, where);
    } catch (error) {
      if (run !== this.run) return;
      const edge = where === "end" ? this.newer : this.older;
      edge.replaceChildren(
        h("span", { role: "alert" }, told(error)),
        h("button", { type: "button", onclick: () => void this.more(where) }, "Try again"),
      );
    } finally {
      if (run === this.run) this.isLoading = false;
    }
    if (run === this.run && this.list.childElementCount) this.onScroll();
  }

  /** Show a turn that isn't stored yet, below the rest. @param {HTMLElement} pending */
  begin(pending) {
    this.older.replaceChildren(this.hasBefore ? "Loading…" : "");
    this.coming.replaceChildren(pending);
    this.scrollToEnd();
  }

  /** Something came: stay at the end, if one was there. Once for all that comes before the next frame. */
  follow() {
    if (this.isFollowing) return;
    this.isFollowing = true;
    requestAnimationFrame(() => {
      this.isFollowing = false;
      if (this.isAtEnd) this.scrollToEnd();
    });
  }

  scrollToEnd() {
    this.element.scrollTop = this.element.scrollHeight;
    this.onScroll();
  }

  async toEnd() {
    this.list.querySelector(".target")?.classList.remove("target");
    if (this.hasAfter) await this.load(this.agent, this.session, { at: this.at });
    this.scrollToEnd();
  }

  /** Put the focus on the next item, or the one before. @param {1 | -1} step */
  step(step) {
    const items = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll(":scope > .item")]);
    const at = items.findIndex((item) => item.contains(document.activeElement));
    const box = this.element.getBoundingClientRect();
    const seen = items.findIndex((item) => item.getBoundingClientRect().bottom > box.top + 60);
    const to = at < 0 ? Math.max(0, seen) : Math.min(items.length - 1, Math.max(0, at + step));
    const item = items[to];
    if (!item) return;
    this.isAtEnd = false;
    item.scrollIntoView({ block: "nearest" });
    (item instanceof HTMLDetailsElement ? item.querySelector("summary") : item)?.focus({ preventScroll: true });
  }
}
