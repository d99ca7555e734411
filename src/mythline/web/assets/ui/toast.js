// Short messages at the edge: what was done, with the way back; what went wrong, with what to do.

import { told } from "../lib/api.js";
import { byId, h, icon } from "../lib/dom.js";

/**
 * @typedef {object} Choice
 * @property {string} label
 * @property {() => unknown} act
 */

const STAYS = 8000;
const MOST = 4;

/** @type {{ element: HTMLElement, undo: (() => unknown) | null }[]} */
const shown = [];

/**
 * Show a message.
 * @param {string} text
 * @param {{ choices?: Choice[], undo?: () => unknown, isError?: boolean, stays?: boolean, bar?: Element }} [options]
 */
export function toast(text, options = {}) {
  const choices = [...(options.choices ?? [])];
  const { undo } = options;
  if (undo) choices.push({ label: "Undo", act: undo });
  const element = h(
    "div",
    { class: options.isError ? "toast wrong" : "toast" },
    options.isError && icon("warn"),
    h("span", { class: "told" }, text),
    options.bar ?? null,
    choices.map(({ label, act }) =>
      h("button", { type: "button", class: "choice", onclick: () => (close(), act()) }, label),
    ),
    h(
      "button",
      { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: () => close() },
      icon("close"),
    ),
  );
  const entry = { element, undo: undo ? () => (close(), undo()) : null };
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    const place = shown.indexOf(entry);
    if (place < 0) return;
    shown.splice(place, 1);
    element.remove();
  };
  const wait = () => {
    if (!options.stays) timer = setTimeout(close, options.isError ? 2 * STAYS : STAYS);
  };
  element.addEventListener("pointerenter", () => clearTimeout(timer));
  element.addEventListener("pointerleave", wait);
  element.addEventListener("focusin", () => clearTimeout(timer));
  element.addEventListener("focusout", wait);
  wait();
  shown.push(entry);
  if (shown.length > MOST) shown.shift()?.element.remove();
  byId("toasts").append(element);
  return close;
}

/**
 * Show how far something is that takes a while.
 * @param {string} text
 * @param {number} total
 */
export function progress(text, total) {
  const bar = h("progress", { max: total, value: 0, "aria-label": text });
  const close = toast(text, { stays: true, bar });
  return { step: () => (bar.value += 1), close };
}

/** Undo what the newest message with a way back tells of. Whether there was one. */
export function undoLast() {
  const last = shown.findLast((entry) => entry.undo);
  void last?.undo?.();
  return Boolean(last);
}

/**
 * Tell of an error.
 * @param {unknown} error
 * @param {Choice[]} [choices]
 */
export function tellError(error, choices) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (!(error instanceof Error && "status" in error)) console.error(error);
  toast(told(error), { isError: true, choices });
}

/**
 * Do something, and tell if it goes wrong.
 * @param {() => Promise<unknown>} act
 */
export async function trying(act) {
  try {
    await act();
  } catch (error) {
    tellError(error);
  }
}
