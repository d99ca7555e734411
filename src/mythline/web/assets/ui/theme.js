// Light and dark: as the system, unless someone chose here. `theme.js` beside `main.js` applies the
// choice before anything is drawn.

import { openMenu } from "./menu.js";

const KEY = "mythline-theme";
const CHOICES = /** @type {const} */ ([
  ["", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
]);

/** @param {string} theme */
function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  try {
    if (theme) localStorage.setItem(KEY, theme);
    else localStorage.removeItem(KEY);
  } catch {
    // storage is switched off: it holds until the page is closed
  }
}

/** @param {HTMLElement} button */
export function openTheme(button) {
  const now = document.documentElement.dataset.theme ?? "";
  openMenu(
    button,
    CHOICES.map(([theme, label]) => ({ label, checked: theme === now, act: () => choose(theme) })),
    { label: "Theme" },
  );
}
