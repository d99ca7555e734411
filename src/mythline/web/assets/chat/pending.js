// A turn that isn't stored yet: what was asked, and the answer as it comes. It is text alone; once
// it is stored, the transcript shows it as the server renders it.

import { h, icon } from "../lib/dom.js";

/** @typedef {import("../lib/dom.js").IconName} IconName */

export class Pending {
  /** @param {string | null} asked */
  constructor(asked) {
    this.answer = h("div", { class: "coming" });
    this.dots = h("div", { class: "dots", role: "status", "aria-label": "The agent is answering" }, h("i"), h("i"), h("i"));
    this.element = h(
      "div",
      { class: "pending" },
      asked !== null &&
        h("article", { class: "item user", "aria-label": "You" }, h("div", { class: "bubble" }, h("p", { class: "plain" }, asked))),
      this.answer,
      this.dots,
    );
    /** @type {Map<string, HTMLElement>} */
    this.parts = new Map();
  }

  /**
   * The element of a part, made when it is first asked for.
   * @param {string} id
   * @param {() => HTMLElement} make
   */
  part(id, make) {
    let element = this.parts.get(id);
    if (!element) {
      element = make();
      this.parts.set(id, element);
      this.answer.append(element);
    }
    return element;
  }

  /** @param {string} id @param {string} delta */
  text(id, delta) {
    this.part(`text ${id}`, () => h("p", { class: "plain" })).append(delta);
  }

  /** @param {string} id @param {string} delta */
  thinking(id, delta) {
    const fold = this.part(`thinking ${id}`, () => folded("think", "Thinking", "thinking"));
    fold.querySelector(".unfolded")?.append(delta);
    const hint = fold.querySelector(".hint");
    if (hint) hint.textContent = (fold.querySelector(".unfolded")?.textContent ?? "").slice(-120);
  }

  /** @param {string} id @param {string} name @param {any} [input] */
  tool(id, name, input) {
    const fold = this.part(`tool ${id}`, () => folded("tool", name, "tool-call"));
    const hint = fold.querySelector(".hint");
    if (hint && input !== undefined) hint.textContent = JSON.stringify(input).slice(0, 120);
    this.state(id, "Running…");
  }

  /** @param {string} id @param {string} state @param {any} [output] */
  state(id, state, output) {
    const fold = this.parts.get(`tool ${id}`);
    const place = fold?.querySelector(".state");
    if (place) place.textContent = state;
    const inside = fold?.querySelector(".unfolded");
    if (inside && output !== undefined) {
      inside.textContent = typeof output === "string" ? output : JSON.stringify(output, null, 2);
    }
  }

  /**
   * One event of the stream. What went wrong, if it says so.
   * @param {any} event
   * @returns {string | null}
   */
  take(event) {
    switch (event.type) {
      case "text-delta":
        this.text(event.id, event.delta);
        break;
      case "reasoning-delta":
        this.thinking(event.id, event.delta);
        break;
      case "tool-input-start":
        this.tool(event.toolCallId, event.toolName);
        break;
      case "tool-input-available":
        this.tool(event.toolCallId, event.toolName, event.input);
        break;
      case "tool-output-available":
        this.state(event.toolCallId, "", event.output);
        break;
      case "tool-output-error":
        this.state(event.toolCallId, "Failed", event.errorText);
        break;
      case "tool-output-denied":
        this.state(event.toolCallId, "Denied");
        break;
      case "tool-approval-request":
        this.state(event.toolCallId, "Waiting for approval");
        break;
      case "error":
        return String(event.errorText ?? "The agent failed.");
    }
    return null;
  }
}

/** @param {IconName} name @param {string} label @param {string} kind */
function folded(name, label, kind) {
  return h(
    "details",
    { class: `item fold ${kind}` },
    h("summary", null, icon(name), h("span", { class: "label" }, label), h("span", { class: "hint" }), h("span", { class: "state" }), icon("down")),
    h("div", { class: "unfolded plain" }),
  );
}
