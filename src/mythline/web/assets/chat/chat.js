// To talk with an agent: the message field, the answer as it comes, stop, retry and edit.
//
// A message goes by the protocol in which leaving means stop, so that closing the connection is all
// that "Stop" has to do. Whatever came until then is stored. Each session may have an answer on its
// way; that of the one that is shown is shown.

import { ask, send, sessionsPath, told, withQuery } from "../lib/api.js";
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { go, here } from "../lib/place.js";
import { eventsOf } from "../lib/stream.js";
import { tellError, toast } from "../ui/toast.js";
import { approvals } from "./approvals.js";
import { draft, keepDraft } from "./drafts.js";
import { Pending } from "./pending.js";

/** @import { Agent, Info, Item, Place } from "../lib/types.js" */
/** @import { Transcript } from "../session/transcript.js" */

/**
 * @typedef {object} Options
 * @property {() => Agent | undefined} agent
 * @property {() => Info | null} info
 * @property {() => Promise<void>} refresh shows what is stored by now
 * @property {() => Promise<void>} opened waits for the session to be there
 * @property {() => boolean} isGone whether it was deleted elsewhere
 */

/**
 * @typedef {object} How
 * @property {string | null} asked what is said
 * @property {string} [from] the prompt that it takes the place of
 * @property {boolean} [again] whether that prompt is answered again as it is
 */

/** @typedef {{ controller: AbortController, pending: Pending, how: How }} Run */

export class Chat {
  /**
   * @param {Transcript} transcript
   * @param {Options} options
   */
  constructor(transcript, options) {
    this.transcript = transcript;
    this.options = options;
    /** The answers that are on their way, by session. @type {Map<string, Run>} */
    this.runs = new Map();
    this.isPreparing = false;
    /** The prompt that is edited, or empty. */
    this.edited = "";
    this.field = h("textarea", {
      rows: 1,
      placeholder: "Write a message",
      "aria-label": "Message",
      oninput: () => this.grow(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event),
    });
    this.sendButton = h("button", { type: "submit", class: "main round", "aria-label": "Send", title: "Send (Enter)" }, icon("send"));
    this.stopButton = h(
      "button",
      { type: "button", class: "round", "aria-label": "Stop", title: "Stop (Esc)", hidden: true, onclick: () => this.stop() },
      icon("stop"),
    );
    this.note = h("div", { class: "editing", hidden: true });
    this.form = h(
      "form",
      {
        class: "write",
        onsubmit: (/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          void this.submit();
        },
      },
      this.note,
      h("div", { class: "field-and-send" }, this.field, this.stopButton, this.sendButton),
    );
    this.waits = h("div", { class: "waits" });
    this.element = h("div", { class: "composer", hidden: true }, this.waits, this.form);
    this.waitsFor = "";
  }

  /** The answer that is on its way in the session that is shown. */
  get running() {
    return this.runs.get(nameOf(here())) ?? null;
  }

  get isRunnable() {
    return Boolean(this.options.agent()?.runnable);
  }

  /** What is known of the session that is shown; null for none. @param {Info | null} info */
  know(info) {
    const place = here();
    const isNew = !info && !place.session && place.agent && place.within !== "trash";
    this.element.hidden = !this.isRunnable || Boolean(place.at) || !(info || isNew);
    const waiting = info?.deferred_tool_requests ?? null;
    const ids = [...(waiting?.approvals ?? []), ...(waiting?.calls ?? [])].map((call) => call.tool_call_id);
    const waitsFor = info ? `${info.session_id} ${ids.join(" ")}` : "";
    if (waitsFor !== this.waitsFor || !ids.length) {
      this.waitsFor = waitsFor;
      fill(this.waits, waiting && ids.length > 0 ? approvals(waiting, (results) => this.answer(results)) : null);
    }
    this.form.hidden = ids.length > 0;
    this.draw();
  }

  /** A session was opened, or its transcript drawn anew. @param {boolean} isOther */
  arrive(isOther) {
    const { running } = this;
    if (running && !here().at) {
      this.hideFrom(running.how);
      this.transcript.begin(running.pending.element);
    } else this.transcript.coming.replaceChildren();
    this.draw();
    if (!isOther) return;
    this.leaveEdit();
    this.field.value = draft(here());
    this.grow();
  }

  focus() {
    if (!this.element.hidden && !this.form.hidden) this.field.focus();
  }

  grow() {
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight + 2, innerHeight * 0.4)}px`;
    if (!this.edited) keepDraft(here(), this.field.value);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      void this.submit();
    } else if (event.key === "Escape" && (this.running || this.edited)) {
      event.preventDefault();
      if (this.running) this.stop();
      else this.leaveEdit();
    } else if (event.key === "ArrowUp" && !this.field.value && !this.running) {
      const last = [...this.transcript.list.querySelectorAll(".item.user")].at(-1);
      if (!(last instanceof HTMLElement) || !last.dataset.entry) return;
      event.preventDefault();
      void this.edit(last.dataset.entry);
    }
  }

  stop() {
    this.running?.controller.abort();
  }

  /** What one can do with a message. @param {Item} item @returns {HTMLElement[]} */
  buttons(item) {
    if (!this.isRunnable) return [];
    if (item.role === "user") {
      return [
        iconButton("edit", "Edit, and branch", () => void this.edit(item.entry_id)),
        iconButton("retry", "Answer again", () => void this.retry(item.entry_id)),
      ];
    }
    if (item.role !== "assistant") return [];
    return [iconButton("retry", "Answer again", () => void this.retry(this.promptBefore(item.entry_id)))];
  }

  /** The prompt that an answer is to. @param {string} entry */
  promptBefore(entry) {
    let found = "";
    for (const each of this.transcript.list.querySelectorAll("[data-entry]")) {
      const { entry: id, role } = /** @type {HTMLElement} */ (each).dataset;
      if (id === entry) break;
      if (role === "user" && id) found = id;
    }
    return found;
  }

  async submit() {
    const text = this.field.value.trim();
    if (!text || this.running || this.isPreparing) return;
    if (this.options.isGone()) {
      toast("This session was deleted. Restore it to go on.", { isError: true });
      return;
    }
    const { edited } = this;
    let place = here();
    this.isPreparing = true;
    try {
      /** @type {any[]} */
      let others = [];
      let id = newId();
      if (edited) {
        const message = await this.stored(edited);
        others = message.parts.filter((/** @type {any} */ part) => part.type !== "text");
        id = message.id;
        if (isHere(place)) this.leaveEdit();
      }
      if (isHere(place)) this.clear();
      if (!place.session) place = await this.begin();
      const message = { id, role: "user", parts: [{ type: "text", text }, ...others] };
      const going = this.run(place, message, edited ? { asked: text, from: edited } : { asked: text });
      this.isPreparing = false; // it is on its way
      await going;
    } catch (error) {
      this.isPreparing = false;
      if (isHere(place)) {
        if (!this.field.value) this.field.value = text;
        this.grow();
      } else keepDraft(place, text);
      tellError(error);
    }
  }

  /** Make a session for the message, and go to it. @returns {Promise<Place>} */
  async begin() {
    const place = here();
    const made = await ask(sessionsPath(place.agent, "create"), { method: "POST" });
    const begun = { ...place, session: made.session_id };
    if (isHere(place)) {
      go({ session: made.session_id, entry: "", at: "", within: "" });
      await this.options.opened();
    }
    return begun;
  }

  clear() {
    this.field.value = "";
    this.grow();
  }

  /** A prompt as the protocol has it, with its files. @param {string} entry @returns {Promise<any>} */
  async stored(entry) {
    const { agent_id: agent, session_id: session } = /** @type {Info} */ (this.options.info());
    const entries = [...this.transcript.list.querySelectorAll("[data-entry]")].map(
      (each) => /** @type {HTMLElement} */ (each).dataset.entry ?? "",
    );
    const next = entries.slice(entries.lastIndexOf(entry) + 1).find((each) => each !== entry);
    const path = sessionsPath(agent, session, "messages");
    const found = await ask(withQuery(path, { format: "vercel", before: next, limit: 5 }));
    const message = found.messages.find((/** @type {any} */ each) => each.id === entry);
    if (!message) throw new Error("The prompt isn't in the history any more.");
    return message;
  }

  /** Write a prompt anew; the answer to the new one is on a branch. @param {string} entry */
  async edit(entry) {
    if (this.running || this.isPreparing) return;
    const place = here();
    try {
      const message = await this.stored(entry);
      if (!isHere(place)) return;
      const texts = message.parts.filter((/** @type {any} */ part) => part.type === "text");
      this.edited = entry;
      this.field.value = texts.map((/** @type {any} */ part) => part.text).join("\n\n");
      this.note.hidden = false;
      fill(
        this.note,
        icon("edit"),
        h("span", { class: "told" }, "You write this prompt anew. What followed it is kept as a branch."),
        h("button", { type: "button", class: "as-link", onclick: () => this.leaveEdit() }, "Cancel"),
      );
      this.grow();
      this.field.focus();
    } catch (error) {
      tellError(error);
    }
  }

  leaveEdit() {
    if (!this.edited) return;
    this.edited = "";
    this.note.hidden = true;
    this.clear();
  }

  /** Have a prompt answered again. @param {string} entry */
  async retry(entry) {
    if (this.running || this.isPreparing || !entry) return;
    const place = here();
    this.isPreparing = true;
    try {
      const message = await this.stored(entry);
      const going = this.run(place, message, { asked: null, from: entry, again: true });
      this.isPreparing = false;
      await going;
    } catch (error) {
      this.isPreparing = false;
      tellError(error);
    }
  }

  /**
   * Send a message, and show the answer as it comes.
   * @param {Place} place
   * @param {any} message
   * @param {How} how
   */
  async run(place, message, how) {
    const { agent, session } = place;
    const body = {
      id: session,
      trigger: how.again ? "regenerate-message" : "submit-message",
      messages: [message],
    };
    await this.streamed(place, how, (signal) =>
      send(sessionsPath(agent, session, "chat"), { method: "POST", json: body, signal }),
    );
  }

  /**
   * Answer the calls that the session waits on, and show how it goes on.
   * @param {{ calls: Record<string, any>, approvals: Record<string, any> }} results
   */
  async answer(results) {
    const place = here();
    const { agent, session } = place;
    const path = `api/agents/${encodeURIComponent(agent)}/run`;
    fill(this.waits);
    try {
      await this.streamed(place, { asked: null }, (signal) =>
        send(path, {
          method: "POST",
          json: { session_id: session, deferred_tool_results: results },
          headers: { Accept: "text/event-stream" },
          signal,
        }),
      );
    } catch (error) {
      tellError(error);
    }
    if (!isHere(place)) return;
    this.waitsFor = "";
    await this.options.refresh();
  }

  /**
   * @param {Place} place
   * @param {How} how
   * @param {(signal: AbortSignal) => Promise<Response>} start
   */
  async streamed(place, how, start) {
    const name = nameOf(place);
    const controller = new AbortController();
    const pending = new Pending(how.asked);
    this.runs.set(name, { controller, pending, how });
    if (isHere(place)) {
      this.hideFrom(how);
      this.transcript.begin(pending.element);
      this.draw();
    }
    /** @type {string | null} */
    let wrong = null;
    /** @type {string[]} */
    let entries = [];
    try {
      for await (const { event, data } of eventsOf(await start(controller.signal))) {
        if (event === "saved" || data.type === "data-conversation-saved") {
          entries = (data.data ?? data).entry_ids ?? [];
        } else if (event === "delta") pending.text(String(data.index), data.delta);
        else if (event === "error") wrong = String(data.detail);
        else wrong = pending.take(data) ?? wrong;
        if (isHere(place)) this.transcript.follow();
      }
    } catch (error) {
      if (!controller.signal.aborted) {
        if (isHere(place)) for (const each of this.transcript.list.children) /** @type {HTMLElement} */ (each).hidden = false;
        pending.element.remove();
        throw error;
      }
    } finally {
      this.runs.delete(name);
      this.draw();
    }
    if (wrong) toast(wrong, { isError: true });
    if (!isHere(place)) return;
    await this.settled(controller.signal.aborted);
    if (how.from) await this.transcript.reload().catch(tellError);
    await this.options.refresh();
    pending.element.remove();
    this.tellIfBranched(entries);
  }

  /** What was stopped is stored a moment later. @param {boolean} wasStopped */
  async settled(wasStopped) {
    if (!wasStopped) return;
    const info = this.options.info();
    if (!info) return;
    const path = sessionsPath(info.agent_id, info.session_id, "info");
    for (let tries = 0; tries < 20; tries += 1) {
      try {
        if ((await ask(path)).revision !== info.revision) return;
      } catch (error) {
        console.error(told(error));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** What follows a prompt that is sent anew isn't shown any more. @param {How} how */
  hideFrom({ from, again }) {
    if (!from) return;
    let isAfter = false;
    for (const each of this.transcript.list.children) {
      const element = /** @type {HTMLElement} */ (each);
      const isPrompt = element.dataset.entry === from;
      if (isPrompt) isAfter = true;
      if (isAfter && !(isPrompt && again)) element.hidden = true;
    }
  }

  /** @param {string[]} entries */
  tellIfBranched(entries) {
    const last = entries.at(-1);
    if (!last || this.transcript.elementsOf(last).length || this.transcript.hasAfter) return;
    const info = this.options.info();
    if (!info?.branches.includes(last)) return;
    toast("The session went on elsewhere meanwhile. Your turn is kept as a branch.", {
      stays: true,
      choices: [{ label: "Show it", act: () => go({ at: last, entry: "" }) }],
    });
  }

  draw() {
    const isRunning = Boolean(this.running);
    this.stopButton.hidden = !isRunning;
    this.sendButton.hidden = isRunning;
  }
}

function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What tells a session from others. @param {Place} place */
function nameOf(place) {
  return `${place.agent} ${place.session}`;
}

/** Whether a session is shown. @param {Place} place */
function isHere(place) {
  return nameOf(place) === nameOf(here());
}
