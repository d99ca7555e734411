// The middle of the page: one session, or what there is to do while none is open.

import { ask, isPassing, LATER, Problem, send, sessionsPath, told } from "../lib/api.js";
import { calm, fill, h, iconButton } from "../lib/dom.js";
import { onEvent } from "../lib/live.js";
import { address, go, here, onPlace } from "../lib/place.js";
import { tellError, toast } from "../ui/toast.js";
import { Chat } from "../chat/chat.js";
import { create, fork } from "./acts.js";
import { goOn, looking, parting, showBranches } from "./branches.js";
import { Header } from "./header.js";
import { copy } from "./prose.js";
import { Transcript } from "./transcript.js";

/** @import { Agent, Branch, Info, Item, Place, StoreEvent } from "../lib/types.js" */

/**
 * @typedef {object} Options
 * @property {(ids: string[]) => void} leave
 * @property {() => void} openSidebar
 * @property {() => Agent | undefined} agent the one that is shown
 */

export class SessionView {
  /**
   * @param {HTMLElement} main
   * @param {Options} options
   */
  constructor(main, options) {
    this.main = main;
    this.options = options;
    /** @type {Info | null} */
    this.info = null;
    /** @type {Branch[]} */
    this.branches = [];
    this.run = 0;
    this.told = 0; // how often something was known of the session
    this.isGone = false;
    this.isLoading = false;
    this.isBehind = false; // the last look at it failed
    this.loading = Promise.resolve();
    this.header = new Header({
      onInfo: (info) => this.know(info),
      reload: () => void this.load(here()),
      branches: () => this.branches,
      leave: options.leave,
      openSidebar: options.openSidebar,
    });
    this.transcript = new Transcript({
      buttons: (item) => this.buttons(item),
      parting: (branches) => parting(branches, () => this.info && showBranches(this.info, this.branches)),
    });
    this.chat = new Chat(this.transcript, {
      agent: options.agent,
      info: () => this.info,
      refresh: () => this.refresh(),
      opened: () => this.loading,
      isGone: () => this.isGone,
    });
    this.notice = h("div", { class: "notices" });
    this.body = h("div", { class: "body" }, this.transcript.element, this.transcript.jump);
    this.main.append(this.header.element, this.notice, this.body, this.chat.element, this.transcript.said);
    /** @type {Set<string>} */
    this.happened = new Set();
    // after a load that is under way: it shows what someone came for, and may be older than the event
    this.refreshSoon = calm(60, () => (this.isLoading ? this.refreshSoon() : void this.refresh()));
    onEvent((event) => this.onEvent(event));
    onPlace((place, before) => this.onPlace(place, before));
  }

  /** @param {Place} place @param {Place} before */
  onPlace(place, before) {
    const isSame =
      place.agent === before.agent && place.session === before.session && place.at === before.at;
    if (!isSame) this.loading = this.load(place);
    else if (place.session && place.entry && place.entry !== before.entry) {
      if (!this.transcript.reveal(place.entry)) void this.load(place);
    } else if (!place.session && place.within !== before.within) this.showNone();
  }

  /** @param {Place} place */
  async load(place) {
    this.run += 1;
    const { run } = this;
    const isOther = this.info?.session_id !== place.session || this.info?.agent_id !== place.agent;
    this.isGone = false;
    fill(this.notice);
    if (isOther) {
      this.info = null;
      this.branches = [];
      this.transcript.session = "";
      this.happened.clear(); // to another
    }
    if (!place.session || !place.agent) {
      this.isLoading = false;
      this.info = null;
      this.showNone();
      return;
    }
    if (isOther) {
      this.header.show(null);
      this.transcript.list.replaceChildren(h("p", { class: "edge" }, "Loading…"));
      this.transcript.newer.textContent = "";
      this.transcript.older.textContent = "";
    }
    this.isLoading = true;
    try {
      const path = (/** @type {string} */ what) => sessionsPath(place.agent, place.session, what);
      const [info, branches] = await Promise.all([ask(path("info")), ask(path("branches"))]);
      if (run !== this.run) return;
      Object.assign(this, { info, branches });
      const { told } = this;
      const isFound = await this.transcript.load(place.agent, place.session, place);
      if (run !== this.run) return;
      this.knowIfNew(info, told);
      if (place.entry && !isFound) await this.elsewhere(place);
      this.chat.arrive(isOther);
    } catch (error) {
      if (run !== this.run) return;
      const isLost = error instanceof Problem && error.status === 422;
      if (isLost && place.at && place.at === place.entry) {
        go({ at: "", entry: "" }, { replace: true });
        toast("That message isn't in this session.", { isError: true });
      } else this.showError(place, error);
    } finally {
      if (run === this.run) this.isLoading = false;
    }
  }

  /** An entry that isn't in the history: perhaps it is in a branch. @param {Place} place */
  async elsewhere(place) {
    if (place.at) {
      toast("That message isn't in this session any more.", { isError: true });
      return;
    }
    go({ at: place.entry }, { replace: true });
  }

  /**
   * What was asked for before the answer to a change came may be older than that.
   * @param {Info} info
   * @param {number} told how often something was known when it was asked for
   */
  knowIfNew(info, told) {
    if (told === this.told) this.know(info);
    else this.refreshSoon();
  }

  /** @param {Info} info */
  know(info) {
    if (info.session_id !== here().session) return;
    this.told += 1;
    this.info = info;
    this.header.show(info);
    const waits = info.deferred_tool_requests;
    const waiting = new Set([...(waits?.approvals ?? []), ...(waits?.calls ?? [])].map((each) => each.tool_call_id));
    this.transcript.know({ waiting, branches: this.branches });
    fill(this.notice, here().at ? looking(info, here().at) : null);
    if (!this.transcript.list.childElementCount && !this.chat.running) this.showEmpty();
    this.chat.know(info);
  }

  showEmpty() {
    const isRunnable = this.options.agent()?.runnable;
    this.transcript.older.replaceChildren(
      h(
        "div",
        { class: "empty" },
        h("h2", null, "Nothing said yet"),
        h(
          "p",
          null,
          isRunnable
            ? "Write the first message below."
            : "It fills when your agent runs in it, or by an import.",
        ),
      ),
    );
  }

  showNone() {
    const place = here();
    this.header.show(null);
    this.transcript.list.replaceChildren();
    this.transcript.newer.textContent = "";
    this.transcript.jump.hidden = true;
    this.chat.know(null);
    this.chat.arrive(true);
    const agent = this.options.agent();
    this.transcript.older.replaceChildren(
      !place.agent
        ? welcome()
        : h(
            "div",
            { class: "empty" },
            h("h1", null, place.within === "trash" ? "The trash" : place.agent),
            h(
              "p",
              null,
              place.within === "trash"
                ? "What is deleted waits here. Open the others to read, or restore what you miss."
                : agent?.runnable
                  ? "Write a message to start a session, or choose one."
                  : "Choose a session, or start a new one.",
            ),
            agent &&
              !agent.runnable &&
              place.within !== "trash" &&
              h("button", { type: "button", class: "main", onclick: () => void create(place.agent) }, "New session"),
          ),
    );
  }

  /** @param {Place} place @param {unknown} error @param {() => unknown} [again] */
  showError(place, error, again = () => void this.load(here())) {
    const isMissing = error instanceof Problem && error.status === 404;
    this.header.show(null);
    this.transcript.list.replaceChildren();
    this.transcript.newer.textContent = "";
    this.chat.know(null);
    const isTrash = place.within === "trash";
    this.transcript.older.replaceChildren(
      h(
        "div",
        { class: "empty", role: "alert" },
        h("h1", null, isMissing ? (isTrash ? "This session is in the trash" : "This session isn't here") : "That didn't work"),
        h("p", null, isMissing ? (isTrash ? "Restore it to read it." : "It was deleted, or never was. Deleted ones wait in the trash.") : told(error)),
        isMissing
          ? h(
              "div",
              { class: "answers" },
              h("button", { type: "button", class: "main", onclick: () => void this.restore(place) }, "Restore it"),
              !isTrash &&
                h("a", { class: "button", href: address({ within: "trash", session: "", entry: "" }), "data-here": true }, "Open the trash"),
            )
          : h(
              "div",
              { class: "answers" },
              h("button", { type: "button", class: "main", onclick: again }, "Try again"),
              place.at &&
                h("a", { class: "button", href: address({ at: "", entry: "" }), "data-here": true }, "Back to the history"),
            ),
      ),
    );
  }

  /** @param {Place} place */
  async restore(place) {
    try {
      await send(sessionsPath(place.agent, place.session, "restore"), { method: "POST" });
      go({ within: "" }, { replace: true });
      void this.load(here());
    } catch (error) {
      const isMissing = error instanceof Problem && error.status === 404;
      if (isMissing) toast("It isn't in the trash either.", { isError: true });
      else tellError(error);
    }
  }

  /** @param {StoreEvent} event */
  onEvent(event) {
    const place = here();
    const isThis = event.agent_id === place.agent && event.session_id === place.session;
    if (!place.session || (!isThis && event.type !== "reset")) return;
    this.happened.delete(event.type); // the last is at the end
    this.happened.add(event.type);
    this.refreshSoon();
  }

  /** Look at what happened to the session. */
  async refresh() {
    if (this.chat.running) return; // its end comes here again
    const happened = new Set(this.happened);
    this.happened.clear();
    const place = here();
    const { run, told } = this;
    const last = [...happened].at(-1) ?? "";
    if (last === "deleted" || last === "purged") {
      this.gone(place);
      return;
    }
    if (!this.info) {
      if (happened.has("created") || happened.has("restored")) void this.load(place);
      return;
    }
    try {
      const path = (/** @type {string} */ what) => sessionsPath(place.agent, place.session, what);
      const [info, branches] = await Promise.all([ask(path("info")), ask(path("branches"))]);
      if (run !== this.run) return;
      const isOtherWay = happened.has("changed") || happened.has("reset") || happened.has("restored");
      this.branches = branches;
      if (isOtherWay && !place.at) await this.transcript.reload();
      else await this.transcript.refresh();
      if (run !== this.run) return;
      this.isGone = false;
      this.isBehind = false;
      this.knowIfNew(info, told);
    } catch (error) {
      if (run !== this.run) return;
      if (isPassing(error)) {
        if (!this.isBehind) tellError(error);
        this.isBehind = true;
        const older = [...happened].filter((type) => !this.happened.has(type));
        this.happened = new Set([...older, ...this.happened]); // still to be looked at
        setTimeout(this.refreshSoon, LATER);
        return;
      }
      if (error instanceof Problem && error.status === 404 && !error.message.includes("entry")) this.gone(place);
      else if (error instanceof Problem) {
        await this.transcript.reload().catch(tellError);
      } else tellError(error);
    }
  }

  /** The session was deleted elsewhere. @param {Place} place */
  gone(place) {
    if (this.isGone) return;
    this.isGone = true;
    fill(
      this.notice,
      h(
        "div",
        { class: "looking", role: "alert" },
        h("span", { class: "told" }, "This session was deleted."),
        h("button", { type: "button", class: "main", onclick: () => void this.restore(place) }, "Restore it"),
      ),
    );
  }

  /** What one can do with a message. @param {Item} item */
  buttons(item) {
    const entry = item.entry_id;
    /** @type {HTMLElement[]} */
    const buttons = [
      iconButton("link", "Copy link to this message", () => {
        go({ entry }, { replace: true });
        void copy(new URL(address({ entry }), location.href).href, "Link copied.");
      }),
      iconButton("fork", "Fork from here", () => this.info && void fork(this.info, entry)),
    ];
    if (!here().at) {
      if (item.role === "assistant") {
        buttons.push(iconButton("restore", "Go back to here", () => void this.goBack(entry)));
      }
      buttons.push(...this.chat.buttons(item));
    }
    return buttons;
  }

  /** Go on after an earlier entry. @param {string} entry */
  async goBack(entry) {
    if (!this.info) return;
    try {
      const newest = await ask(`${sessionsPath(this.info.agent_id, this.info.session_id, "messages")}?limit=1`);
      const undo = newest.messages[0]?.entry_id;
      if (undo === entry) toast("The session goes on from here already.");
      else await goOn(this.info, entry, { undo });
    } catch (error) {
      tellError(error);
    }
  }
}

function welcome() {
  return h(
    "div",
    { class: "empty welcome" },
    h("h1", null, "No sessions yet"),
    h("p", null, "A session is one conversation with an agent of yours. It appears here as soon as it is saved:"),
    h(
      "div",
      { class: "code" },
      h(
        "pre",
        { tabindex: 0, role: "group", "aria-label": "Code, python" },
        h(
          "code",
          null,
          'async with open_store() as store:\n    memory = SessionMemory(store, agent_id="companion")\n    agent = Agent(model, capabilities=[memory])\n    await agent.run("Hello")',
        ),
      ),
    ),
    h("p", null, "Or start here: name an agent, and make or import its first session."),
    h(
      "form",
      {
        class: "first",
        onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          const input = /** @type {HTMLFormElement} */ (event.target).querySelector("input");
          if (input?.value) void create(input.value);
        },
      },
      h("input", {
        type: "text",
        required: true,
        pattern: "[A-Za-z0-9_][A-Za-z0-9_\\-]{0,63}",
        title: "Letters, digits, - and _",
        placeholder: "companion",
        "aria-label": "The agent's id",
        autocomplete: "off",
      }),
      h("button", { type: "submit", class: "main" }, "Start the first session"),
    ),
  );
}
