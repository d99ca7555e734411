// Files that become sessions: dropped on the page, or picked. What became of each is told.

import { ask, sessionsPath, told, withQuery } from "../lib/api.js";
import { h, icon } from "../lib/dom.js";
import { address, here } from "../lib/place.js";
import { several } from "../lib/words.js";
import { askText, openDialog } from "../ui/dialog.js";

/** Let files be dropped anywhere. */
export function startDrops() {
  let depth = 0;
  const veil = h("div", { class: "veil", hidden: true }, h("p", null, icon("upload"), "Drop files to import them as sessions"));
  document.body.append(veil);
  const has = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!has(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!has(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  addEventListener("dragover", (event) => {
    if (has(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!has(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    void importFiles([...(event.dataTransfer?.files ?? [])]);
  });
}

/** Ask for files, and import them. */
export function pickFiles() {
  const input = h("input", { type: "file", multiple: true, hidden: true });
  input.addEventListener("change", () => void importFiles([...(input.files ?? [])]));
  document.body.append(input);
  input.click();
  input.remove();
}

/** @param {File[]} files */
async function importFiles(files) {
  if (!files.length) return;
  const agent = here().agent || (await askText("Import sessions", "The id of their agent", { max: 64, button: "Import" }));
  if (!agent) return;
  const bar = h("progress", { max: files.length, value: 0, "aria-label": "Imported files" });
  const sum = h("p", { role: "status" }, `Importing ${several(files.length, "file")}…`);
  const report = h("ul", { class: "report" });
  const dialog = openDialog("Import", [sum, bar, report], { className: "import" });
  let made = 0;
  for (const [index, file] of files.entries()) {
    const found = await importOne(agent, file);
    made += found.filter((one) => one.isMade).length;
    bar.value = index + 1;
    report.append(
      h(
        "li",
        { class: found.every((one) => one.isMade) ? "" : "wrong" },
        h("span", { class: "name" }, file.name),
        found.map((one) =>
          one.isMade
            ? h(
                "a",
                {
                  href: address({ agent, session: one.id, entry: "", at: "", within: "", show: "", tag: "", q: "" }),
                  "data-here": true,
                  onclick: () => dialog.close(),
                },
                icon("check"),
                `${one.id} · ${several(one.count, "message")}`,
              )
            : h("span", { class: "why" }, icon("warn"), one.why),
        ),
        found.some((one) => one.isTaken) &&
          h(
            "button",
            {
              type: "button",
              onclick: async (/** @type {MouseEvent} */ event) => {
                const button = /** @type {HTMLButtonElement} */ (event.target);
                button.disabled = true;
                const [again] = await importOne(agent, file, "rename");
                button.replaceWith(again?.isMade ? `Imported as ${again.id}.` : (again?.why ?? ""));
              },
            },
            "Import under another id",
          ),
      ),
    );
  }
  sum.textContent = `${several(made, "session")} from ${several(files.length, "file")}.`;
  bar.hidden = true;
}

/**
 * @typedef {object} Outcome
 * @property {boolean} isMade
 * @property {string} id
 * @property {number} count
 * @property {string} why
 * @property {boolean} [isTaken]
 */

/**
 * @param {string} agent
 * @param {File} file
 * @param {string} [onConflict]
 * @returns {Promise<Outcome[]>}
 */
async function importOne(agent, file, onConflict) {
  const body = new FormData();
  body.append("file", file, file.name);
  try {
    const path = withQuery(sessionsPath(agent, "import"), { on_conflict: onConflict });
    const answer = await ask(path, { method: "POST", body });
    /** @type {any[]} */
    const all = answer.sessions ?? [answer];
    return all.map((one) => ({
      isMade: one.status === "imported" || one.status === "unchanged",
      id: String(one.session_id),
      count: Number(one.message_count),
      why: one.error ?? `${one.session_id}: ${one.status}`,
    }));
  } catch (error) {
    const isTaken = error instanceof Error && "status" in error && error.status === 409;
    return [{ isMade: false, id: "", count: 0, why: told(error), isTaken }];
  }
}
