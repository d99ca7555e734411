// Which keys do what.

import { h } from "../lib/dom.js";
import { openDialog } from "./dialog.js";

/** @type {[string, [string, string][]][]} */
const KEYS = [
  [
    "Anywhere",
    [
      ["/ or Ctrl K", "Search"],
      ["n", "New session"],
      ["g", "To the list"],
      ["m", "To the message field"],
      ["Ctrl Z", "Undo the last deletion or change"],
      ["?", "These keys"],
      ["Esc", "Close, go back"],
    ],
  ],
  [
    "In the list",
    [
      ["↑ ↓", "Through the sessions"],
      ["Enter", "Open"],
      ["Space or x", "Select"],
      ["Shift ↑ ↓", "Select several"],
      ["Del", "Delete, with a way back"],
    ],
  ],
  [
    "In a session",
    [
      ["j k", "Next message, the one before"],
      ["End", "To the end"],
      ["r", "Rename"],
      ["p", "Pin"],
      ["e", "Archive"],
      ["f", "Fork"],
      ["b", "Branches"],
    ],
  ],
  [
    "Writing",
    [
      ["Enter", "Send"],
      ["Shift Enter", "New line"],
      ["Esc", "Stop the answer"],
    ],
  ],
];

/** Show the keys. */
export function openHelp() {
  openDialog(
    "Keys",
    [
      h(
        "div",
        { class: "keys" },
        KEYS.map(([title, keys]) =>
          h(
            "section",
            null,
            h("h3", null, title),
            h("dl", null, keys.map(([key, what]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, what)))),
          ),
        ),
      ),
    ],
    { className: "help" },
  );
}
