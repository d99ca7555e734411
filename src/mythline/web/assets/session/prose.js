// What is done with a message's HTML once it is there: links, code, tables, pictures.

import { h, icon } from "../lib/dom.js";
import { rendered, webAddress } from "../lib/html.js";
import { highlight } from "../lib/highlight.js";
import { toast } from "../ui/toast.js";
import { remotePicture } from "./attachments.js";

/**
 * A message's content, ready to be read.
 * @param {string} html as the server made it
 * @returns {HTMLElement}
 */
export function prose(html) {
  const element = h("div", { class: "prose" }, rendered(html));
  for (const link of element.querySelectorAll("a")) tame(link);
  for (const code of element.querySelectorAll("pre > code")) dress(code);
  for (const table of element.querySelectorAll("table")) {
    const wide = h("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Table" });
    table.replaceWith(wide);
    wide.append(table);
  }
  return element;
}

/** @param {HTMLAnchorElement} link */
function tame(link) {
  const url = webAddress(link.getAttribute("href"));
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  if (url && link.classList.contains("picture")) {
    link.after(" ", remotePicture(url, link.textContent ?? ""));
  }
}

/** @param {Element} code */
function dress(code) {
  const language = /^language-(.+)$/.exec(code.className)?.[1]?.toLowerCase() ?? "";
  const pre = /** @type {HTMLElement} */ (code.parentElement);
  const text = code.textContent ?? "";
  if (language) highlight(code, language);
  pre.tabIndex = 0;
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", language ? `Code, ${language}` : "Code");
  const box = h("div", { class: "code" });
  pre.replaceWith(box);
  box.append(h("div", { class: "bar" }, h("span", null, language), copyButton(() => text)), pre);
}

/** @param {() => string} text */
export function copyButton(text, label = "Copy") {
  return h(
    "button",
    { type: "button", class: "quiet copy", "aria-label": label, title: label, onclick: () => void copy(text()) },
    icon("copy"),
  );
}

/**
 * Put text on the clipboard.
 * @param {string} text
 * @param {string} [said]
 */
export async function copy(text, said = "Copied.") {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast("The browser lets nothing be copied here. Select the text instead.", { isError: true });
  }
}

/**
 * What went to a tool or came from it: JSON in its lines, or the text as it is.
 * @param {string} html
 */
export function value(html) {
  const text = rendered(html).textContent?.replace(/\n$/, "") ?? "";
  let shown = text;
  let isJson = false;
  try {
    const parsed = JSON.parse(text);
    isJson = typeof parsed === "object" && parsed !== null;
    if (isJson) shown = JSON.stringify(parsed, null, 2);
  } catch {
    // as it is
  }
  const code = h("code", null, shown);
  if (isJson) highlight(code, "json");
  const pre = h("pre", { tabindex: 0, role: "group", "aria-label": isJson ? "JSON" : "Text" }, code);
  return { text, element: h("div", { class: "code plain" }, copyButton(() => shown), pre) };
}
