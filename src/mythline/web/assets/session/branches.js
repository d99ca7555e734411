// The branches of a session: where they part, and how to get to them.

import { ask, ifMatch, Problem, sessionsPath } from "../lib/api.js";
import { h, icon } from "../lib/dom.js";
import { address, go } from "../lib/place.js";
import { several, when, whole } from "../lib/words.js";
import { openDialog } from "../ui/dialog.js";
import { tellError, toast } from "../ui/toast.js";
import { fork } from "./acts.js";

/** @import { Branch, Info } from "../lib/types.js" */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Go on after an entry, or on the branch that it ends.
 * @param {Info} info
 * @param {string} entry
 * @param {{ undo?: string, said?: string }} [options] `undo`: the entry that leads back
 */
export async function goOn(info, entry, options = {}) {
  const path = sessionsPath(info.agent_id, info.session_id, "branch");
  try {
    await ask(path, { method: "POST", json: { entry_id: entry }, headers: ifMatch(info.revision) });
  } catch (error) {
    if (!(error instanceof Problem) || (error.status !== 412 && error.status !== 409)) {
      tellError(error);
      return false;
    }
    toast("The session went on elsewhere meanwhile.", {
      isError: true,
      stays: true,
      choices: [
        { label: "Reload", act: () => go({ at: "", entry: "" }) },
        { label: "Keep mine as a fork", act: () => fork(info, entry) },
      ],
    });
    return false;
  }
  go({ at: "", entry: "" });
  const { undo } = options;
  toast(options.said ?? "The session goes on from here. What it left is a branch.", {
    undo: undo
      ? async () => {
          try {
            await ask(path, { method: "POST", json: { entry_id: undo } });
          } catch (error) {
            tellError(error);
          }
        }
      : undefined,
  });
  return true;
}

/**
 * Show a session's branches as a small tree, from its start to now.
 * @param {Info} info
 * @param {Branch[]} branches
 */
export function showBranches(info, branches) {
  const sorted = [...branches].sort((one, other) => shared(one) - shared(other));
  const content = branches.length
    ? h(
        "ol",
        { class: "tree" },
        h("li", { class: "trunk-start" }, drawing("start"), h("span", { class: "told" }, "The start")),
        sorted.map((branch) => row(branch)),
        h(
          "li",
          { class: "current" },
          drawing("end"),
          h("span", { class: "told" }, h("strong", null, "The history now"), h("span", { class: "details" }, several(info.message_count, "message"))),
        ),
      )
    : h(
        "p",
        { class: "nothing" },
        "No branches yet. Edit a prompt, or go back to an earlier message: what the session leaves is kept here.",
      );
  const dialog = openDialog("Branches", [content], { className: "branches" });

  /** @param {Branch} branch */
  function row(branch) {
    const at = shared(branch);
    return h(
      "li",
      null,
      drawing("branch"),
      h(
        "a",
        {
          class: "told",
          href: address({ at: branch.entry_id, entry: "" }),
          "data-here": true,
          onclick: () => dialog.close(),
        },
        h("span", { class: "preview" }, branch.preview || "Nothing said"),
        h(
          "span",
          { class: "details" },
          at ? `Parts after message ${at}` : "Parts at the start",
          ` · ${several(branch.own_count, "message")} of its own · `,
          h("time", { datetime: branch.last_modified, title: whole(branch.last_modified) }, when(branch.last_modified)),
        ),
      ),
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            dialog.close();
            void goOn(info, branch.entry_id, { said: "This branch is the history now." });
          },
        },
        "Switch",
      ),
    );
  }
}

/** @param {Branch} branch */
function shared(branch) {
  return branch.message_count - branch.own_count;
}

/** A piece of the tree. @param {"start" | "branch" | "end"} kind */
function drawing(kind) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "limb");
  svg.setAttribute("viewBox", "0 0 40 60");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  const lines = { start: "M12 30V60", branch: "M12 0V60M12 6C12 26 30 12 30 30", end: "M12 0V30" };
  path.setAttribute("d", lines[kind]);
  const dot = document.createElementNS(SVG, "circle");
  dot.setAttribute("cx", kind === "branch" ? "30" : "12");
  dot.setAttribute("cy", "30");
  dot.setAttribute("r", "4");
  svg.append(path, dot);
  return svg;
}

/**
 * What stands in a transcript where branches part.
 * @param {Branch[]} branches
 * @param {() => void} onOpen
 */
export function parting(branches, onOpen) {
  return h(
    "button",
    { type: "button", class: "parting", onclick: onOpen },
    icon("branch"),
    h("span", null, branches.length === 1 ? "A branch parts here" : `${branches.length} branches part here`),
  );
}

/**
 * What stands above a branch that is only looked at.
 * @param {Info} info
 * @param {string} at
 */
export function looking(info, at) {
  return h(
    "div",
    { class: "looking", role: "status" },
    icon("branch"),
    h("span", { class: "told" }, "You are looking at a branch."),
    h("a", { class: "button", href: address({ at: "", entry: "" }), "data-here": true }, "Back to the history"),
    h(
      "button",
      { type: "button", class: "main", onclick: () => void goOn(info, at, { said: "This branch is the history now." }) },
      "Switch to it",
    ),
  );
}
