// Dialogs: the browser's own, which keep the focus in and give it back.

import { h, iconButton } from "../lib/dom.js";

/**
 * Open a dialog. It closes by Esc, by its cross and by a click beside it.
 * @param {string} title
 * @param {Node[]} content
 * @param {{ className?: string, onclose?: () => void, titled?: boolean }} [options]
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, content, options = {}) {
  const dialog = h(
    "dialog",
    { class: options.className ?? "", "aria-label": title, onclick: beside },
    options.titled === false
      ? null
      : h(
          "header",
          null,
          h("h2", { tabindex: -1, autofocus: true }, title),
          iconButton("close", "Close", () => dialog.close()),
        ),
    h("div", { class: "inside" }, content),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    options.onclose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @param {MouseEvent} event */
function beside(event) {
  const dialog = event.currentTarget;
  if (event.target !== dialog || !(dialog instanceof HTMLDialogElement)) return;
  const box = dialog.getBoundingClientRect();
  const isInside =
    event.clientX >= box.left &&
    event.clientX <= box.right &&
    event.clientY >= box.top &&
    event.clientY <= box.bottom;
  if (!isInside) dialog.close();
}

/**
 * Ask before something that can't be undone.
 * @param {string} title
 * @param {string} text
 * @param {string} label what the button says that does it
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, label) {
  return new Promise((resolve) => {
    let said = false;
    const yes = h("button", { type: "button", class: "danger", onclick: answer(true) }, label);
    const no = h("button", { type: "button", autofocus: true, onclick: answer(false) }, "Cancel");
    const dialog = openDialog(title, [h("p", null, text), h("div", { class: "answers" }, no, yes)], {
      className: "small",
      onclose: () => resolve(said),
    });
    /** @param {boolean} value */
    function answer(value) {
      return () => {
        said = value;
        dialog.close();
      };
    }
  });
}

/**
 * Ask for a line of text; null if none is given.
 * @param {string} title
 * @param {string} label
 * @param {{ value?: string, button?: string, max?: number, hints?: string[] }} [options]
 * @returns {Promise<string | null>}
 */
export function askText(title, label, options = {}) {
  return new Promise((resolve) => {
    /** @type {string | null} */
    let said = null;
    const input = h("input", {
      type: "text",
      id: "ask-text",
      value: options.value ?? "",
      maxlength: options.max ?? 200,
      autofocus: true,
      autocomplete: "off",
      list: options.hints ? "ask-hints" : null,
    });
    const form = h(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          said = input.value.trim() || null;
        },
      },
      h("label", { for: "ask-text" }, label),
      input,
      options.hints &&
        h("datalist", { id: "ask-hints" }, options.hints.map((value) => h("option", { value }))),
      h(
        "div",
        { class: "answers" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "main" }, options.button ?? "Save"),
      ),
    );
    const dialog = openDialog(title, [form], {
      className: "small",
      onclose: () => resolve(said),
    });
    input.select();
  });
}
