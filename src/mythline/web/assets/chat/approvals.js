// Calls that wait for someone: to be allowed, or to be answered from elsewhere.

import { h } from "../lib/dom.js";
import { value } from "../session/prose.js";

/** @import { Waiting, WaitingCall } from "../lib/types.js" */

/** @param {any} args */
function argsOf(args) {
  const text = typeof args === "string" ? args : JSON.stringify(args ?? {});
  const escaped = text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  return value(escaped).element;
}

/**
 * A form for all calls that a session waits on: they are answered at once.
 * @param {Waiting} waiting
 * @param {(results: { calls: Record<string, any>, approvals: Record<string, any> }) => unknown} onAnswer
 */
export function approvals(waiting, onAnswer) {
  /** @type {Record<string, any>} */
  const given = {};
  /** @type {Record<string, HTMLTextAreaElement>} */
  const written = {};
  const send = h("button", { type: "submit", class: "main", disabled: true }, "Go on");
  const update = () => {
    send.disabled = waiting.approvals.some((call) => !(call.tool_call_id in given));
  };

  /** @param {WaitingCall} call */
  const approval = (call) => {
    const id = call.tool_call_id;
    const why = h("input", {
      type: "text",
      placeholder: "Why not? The agent is told.",
      "aria-label": `Why ${call.tool_name} is denied`,
      hidden: true,
      maxlength: 500,
      oninput: () => {
        given[id] = why.value.trim() ? { approved: false, message: why.value.trim() } : false;
      },
    });
    /** @param {boolean} isAllowed @param {string} label */
    const choice = (isAllowed, label) =>
      h(
        "label",
        { class: isAllowed ? "allow" : "deny" },
        h("input", {
          type: "radio",
          name: `approve-${id}`,
          onchange: () => {
            given[id] = isAllowed;
            why.hidden = isAllowed;
            if (!isAllowed) why.focus();
            update();
          },
        }),
        label,
      );
    return h(
      "fieldset",
      null,
      h("legend", null, "May the agent call ", h("code", null, call.tool_name), "?"),
      argsOf(call.args),
      h("div", { class: "choices" }, choice(true, "Allow"), choice(false, "Deny"), why),
    );
  };

  /** @param {WaitingCall} call */
  const outside = (call) => {
    const area = h("textarea", {
      rows: 2,
      "aria-label": `What ${call.tool_name} returned`,
      placeholder: "What it returned, as JSON or text",
    });
    written[call.tool_call_id] = area;
    return h(
      "fieldset",
      null,
      h("legend", null, h("code", null, call.tool_name), " runs elsewhere. What did it return?"),
      argsOf(call.args),
      area,
    );
  };

  const form = h(
    "form",
    {
      class: "approvals",
      "aria-label": "The agent waits for you",
      onsubmit: (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        const calls = Object.fromEntries(
          Object.entries(written).map(([id, area]) => [id, jsonOr(area.value)]),
        );
        void onAnswer({ calls, approvals: given });
      },
    },
    waiting.approvals.map(approval),
    waiting.calls.map(outside),
    h("div", { class: "answers" }, send),
  );
  update();
  return form;
}

/** @param {string} text */
function jsonOr(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
