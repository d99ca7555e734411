// A menu that a button opens: arrows go through it, Esc and a click elsewhere close it.

import { h, icon } from "../lib/dom.js";

/** @import { IconName } from "../lib/dom.js" */

/**
 * @typedef {object} Entry
 * @property {string} label
 * @property {() => unknown} act
 * @property {IconName} [icon]
 * @property {string} [hint]
 * @property {boolean} [checked]
 * @property {boolean} [danger]
 */

/** @type {(() => void) | null} */
let closeOpen = null;

/**
 * Open a menu at a button, or close the one that is open there.
 * @param {HTMLElement} button
 * @param {(Entry | null)[]} entries `null` draws a line
 * @param {{ label?: string }} [options]
 */
export function openMenu(button, entries, options = {}) {
  const wasHere = button.getAttribute("aria-expanded") === "true";
  closeOpen?.();
  if (wasHere) return;
  const menu = h("div", {
    class: "menu",
    role: "menu",
    "aria-label": options.label ?? button.getAttribute("aria-label") ?? button.textContent,
    popover: "manual",
  });
  for (const entry of entries) {
    if (!entry) {
      menu.append(h("hr", { role: "separator" }));
      continue;
    }
    const isChoice = entry.checked !== undefined;
    menu.append(
      h(
        "button",
        {
          type: "button",
          role: isChoice ? "menuitemradio" : "menuitem",
          "aria-checked": isChoice ? String(entry.checked) : null,
          class: entry.danger ? "danger" : "",
          tabindex: -1,
          onclick: () => (close(true), entry.act()),
        },
        entry.icon ? icon(entry.icon) : isChoice ? h("span", { class: "tick" }, entry.checked && icon("check")) : null,
        h("span", { class: "told" }, entry.label),
        entry.hint && h("span", { class: "hint" }, entry.hint),
      ),
    );
  }
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button")]);

  /** @param {boolean} [back] whether the button has the focus again */
  const close = (back) => {
    closeOpen = null;
    button.setAttribute("aria-expanded", "false");
    menu.remove();
    document.removeEventListener("pointerdown", outside, true);
    if (back) button.focus();
  };
  /** @param {PointerEvent} event */
  const outside = (event) => {
    if (!(event.target instanceof Node)) return;
    if (!menu.contains(event.target) && !button.contains(event.target)) close();
  };
  menu.addEventListener("keydown", (event) => {
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = {
      ArrowDown: (at + 1) % items.length,
      ArrowUp: (at - 1 + items.length) % items.length,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (to !== undefined) items[to].focus();
    else if (event.key === "Escape" || event.key === "Tab") close(true);
    else if (/^\S$/.test(event.key) && !event.ctrlKey && !event.metaKey) {
      const letter = event.key.toLowerCase();
      const order = [...items.slice(at + 1), ...items.slice(0, at + 1)];
      order.find((item) => item.textContent?.toLowerCase().startsWith(letter))?.focus();
    } else return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget instanceof Node && !menu.contains(event.relatedTarget)) close();
  });
  (button.closest("dialog") ?? document.body).append(menu);
  menu.showPopover?.();
  place(menu, button);
  button.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  closeOpen = close;
  (items.find((item) => item.getAttribute("aria-checked") === "true") ?? items[0])?.focus();
}

/**
 * Below the button, or above it where there is no room; within the window.
 * @param {HTMLElement} menu
 * @param {HTMLElement} button
 */
function place(menu, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const isLeft = at.left + width < innerWidth - 8;
  const left = isLeft ? at.left : at.right - width;
  const below = at.bottom + 4;
  const top = below + height > innerHeight - 8 ? Math.max(8, at.top - height - 4) : below;
  menu.style.left = `${Math.max(8, left)}px`;
  menu.style.top = `${top}px`;
}
