// A transcript's items as elements: what was said, called, thought and attached.

import { h, icon } from "../lib/dom.js";
import { rendered } from "../lib/html.js";
import { several, when, whole } from "../lib/words.js";
import { attached } from "./attachments.js";
import { copyButton, prose, value } from "./prose.js";

/** @import { Item, Reply } from "../lib/types.js" */
/** @import { IconName } from "../lib/dom.js" */

/**
 * @typedef {object} Of
 * @property {string} agent
 * @property {string} session
 * @property {(item: Item) => HTMLElement[]} buttons of an item
 */

/**
 * The element of an item, but for what tools returned: `Pairs` puts that to its call.
 * @param {Item} item
 * @param {Of} of
 */
export function drawItem(item, of) {
  const element = drawn(item, of);
  element.dataset.entry = item.entry_id;
  element.dataset.role = item.role;
  element.tabIndex = -1;
  return element;
}

/** @param {Item} item @param {Of} of @returns {HTMLElement} */
function drawn(item, of) {
  const files = item.attachments.length
    ? h(
        "div",
        { class: "files" },
        item.attachments.map((each) => attached(each, { ...of, entry: item.entry_id })),
      )
    : null;
  switch (item.role) {
    case "user":
      return h(
        "article",
        { class: "item user", "aria-label": "You" },
        files,
        item.content && h("div", { class: "bubble" }, prose(item.content)),
        foot(item, of),
      );
    case "assistant":
      return h(
        "article",
        { class: "item assistant", "aria-label": "Agent" },
        item.content && prose(item.content),
        files,
        foot(item, of),
      );
    case "thinking":
      return fold("think", "Thinking", firstWords(item.content), [prose(item.content)], item);
    case "system":
      return fold("storage", "System", firstWords(item.content), [prose(item.content)], item);
    case "unreadable":
      return h("article", { class: "item unreadable", "aria-label": "Unreadable" }, icon("warn"), prose(item.content));
    default:
      return item.role === "tool-call" ? call(item) : result(item, files);
  }
}

/**
 * What can be opened: a call, a thought.
 * @param {IconName} name
 * @param {string} label
 * @param {string} hint
 * @param {(Node | null)[]} content
 * @param {Item} item
 */
function fold(name, label, hint, content, item) {
  return h(
    "details",
    { class: `item fold ${item.role}` },
    h(
      "summary",
      null,
      icon(name),
      h("span", { class: "label" }, label),
      h("span", { class: "hint" }, hint),
      h("span", { class: "state" }),
      icon("down"),
    ),
    h("div", { class: "unfolded" }, content),
    facts(item),
  );
}

/** @param {string} html */
function firstWords(html) {
  return (rendered(html.slice(0, 600)).textContent ?? "").replace(/\s+/g, " ").trim().slice(0, 120);
}

/** @param {Item} item */
function call(item) {
  const args = value(item.content);
  const hasArgs = args.text && args.text !== "{}";
  const element = fold(
    "tool",
    item.tool_name || "Tool",
    hasArgs ? shortArgs(args.text) : "",
    [
      hasArgs ? h("section", null, h("p", { class: "part-name" }, "Arguments"), args.element) : null,
      h("section", { class: "result" }),
    ],
    item,
  );
  element.dataset.call = item.tool_call_id ?? "";
  return element;
}

/** The values of a call's arguments, as far as one line takes them. @param {string} text */
function shortArgs(text) {
  try {
    const parsed = JSON.parse(text);
    if (parsed && typeof parsed === "object") {
      return Object.values(parsed)
        .map((each) => (typeof each === "string" ? each : JSON.stringify(each)))
        .join(", ")
        .slice(0, 120);
    }
  } catch {
    // as it is
  }
  return text.slice(0, 120);
}

/** @type {Record<string, string>} */
const OUTCOMES = {
  failed: "Failed",
  denied: "Denied",
  interrupted: "Interrupted",
  retried: "Tried again",
};

/** @param {Item} item @param {HTMLElement | null} files */
function result(item, files) {
  const shown = value(item.content);
  return h(
    "article",
    { class: "item returned", "data-returns": item.tool_call_id ?? "", "data-outcome": item.outcome ?? "", "aria-label": `Result of ${item.tool_name ?? "a tool"}` },
    h("p", { class: "part-name" }, item.outcome && OUTCOMES[item.outcome] ? OUTCOMES[item.outcome] : "Result"),
    shown.text ? shown.element : h("p", { class: "nothing" }, "Nothing"),
    files,
  );
}

/**
 * Put what tools returned to their calls, wherever the two came from.
 * @param {HTMLElement} list
 * @param {Set<string>} waiting the calls that wait for an answer
 */
export function pair(list, waiting) {
  /** The last call with an id: some models use one again in later turns. @type {Map<string, HTMLElement>} */
  const calls = new Map();
  for (const element of list.querySelectorAll(":scope > .tool-call, :scope > .returned")) {
    const { call: id, returns } = /** @type {HTMLElement} */ (element).dataset;
    if (id) calls.set(id, /** @type {HTMLElement} */ (element));
    const place = returns ? calls.get(returns)?.querySelector(".result") : null;
    if (place && !place.childElementCount) place.append(element);
  }
  for (const element of list.querySelectorAll(":scope > .tool-call")) {
    const { call: id = "" } = /** @type {HTMLElement} */ (element).dataset;
    const returned = element.querySelector(".result > .returned");
    const outcome = returned instanceof HTMLElement ? (returned.dataset.outcome ?? "") : null;
    const state = element.querySelector("summary .state");
    if (!state) continue;
    const waits = outcome === null && waiting.has(id) && calls.get(id) === element;
    element.classList.toggle("waits", waits);
    /** @type {HTMLElement} */ (element).dataset.outcome = outcome ?? (waits ? "waiting" : "none");
    state.textContent = outcome === null ? (waits ? "Waiting for approval" : "No result") : (OUTCOMES[outcome] ?? "");
  }
}

/** @param {Item} item @param {Of} of */
function foot(item, of) {
  return h(
    "footer",
    null,
    facts(item),
    h("div", { class: "buttons" }, copyOf(item), of.buttons(item)),
  );
}

/** @param {Item} item */
function copyOf(item) {
  if (!item.content) return null;
  const button = copyButton(
    () => /** @type {HTMLElement | null | undefined} */ (button.closest(".item")?.querySelector(".prose"))?.innerText ?? "",
    "Copy text",
  );
  return button;
}

/** @type {Record<string, string>} */
const STATES = {
  interrupted: "Interrupted",
  incomplete: "Not finished",
  suspended: "Paused",
  length: "Cut off at the model's limit",
  content_filter: "Stopped by the provider's filter",
  error: "Failed",
};

/** @param {Item} item */
function facts(item) {
  /** @type {Reply} */
  const reply = item.reply ?? {};
  const state = STATES[reply.state ?? ""] ?? STATES[reply.finish_reason ?? ""];
  const tokens = (reply.input_tokens ?? 0) + (reply.output_tokens ?? 0);
  const isUser = item.role === "user";
  if (!isUser && !item.reply && item.role !== "assistant") return null;
  return h(
    "div",
    { class: "facts" },
    state && h("span", { class: "badge" }, state),
    reply.model_name && h("span", { class: "model" }, reply.model_name),
    tokens > 0 &&
      h(
        "span",
        { title: `${several(reply.input_tokens ?? 0, "token")} in, ${several(reply.output_tokens ?? 0, "token")} out` },
        several(tokens, "token"),
      ),
    item.timestamp &&
      h("time", { datetime: item.timestamp, title: whole(item.timestamp) }, when(item.timestamp)),
  );
}
