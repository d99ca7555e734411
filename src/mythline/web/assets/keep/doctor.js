// What is wrong in the store, if anything is: the server looks when it is asked to.

import { Problem, send, told } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { address } from "../lib/place.js";
import { linesOf } from "../lib/stream.js";
import { several } from "../lib/words.js";

/** @import { Finding } from "../lib/types.js" */

/** The part of the storage view that asks for it, and what stops it. */
export function doctor() {
  let controller = new AbortController();
  const list = h("ul", { class: "findings" });
  const state = h("div", { class: "would", role: "status" });
  const start = h("button", { type: "button", onclick: () => void look() }, "Look for what is wrong");

  async function look() {
    controller = new AbortController();
    const { signal } = controller;
    fill(list);
    fill(
      state,
      h("p", null, "Looking through the whole store…"),
      h("progress", { "aria-label": "Looking through the whole store" }),
      h("button", { type: "button", onclick: () => controller.abort() }, "Stop"),
    );
    start.hidden = true;
    try {
      const found = await collect(await send("api/doctor", { signal }), list);
      fill(state, h("p", null, summary(found)));
    } catch (error) {
      if (signal.aborted) fill(state, h("p", null, "Stopped. What was found until then is shown."));
      else fill(state, h("p", { role: "alert" }, told(error)));
    }
    start.textContent = "Look again";
    start.hidden = false;
  }

  const element = h(
    "section",
    null,
    h("h3", null, "Doctor"),
    h("p", null, "Looks for damage, and for messages and files that can't be read. With many sessions that takes minutes."),
    list,
    state,
    start,
  );
  return { element, stop: () => controller.abort() };
}

/**
 * The findings of an answer, each shown as it comes.
 * @param {Response} response an array, one finding a line
 * @param {HTMLElement} list
 */
async function collect(response, list) {
  /** @type {Finding[]} */
  const found = [];
  let isWhole = false;
  for await (const line of linesOf(response)) {
    isWhole = line.endsWith("]");
    if (!line.startsWith("{")) continue;
    const finding = JSON.parse(line.replace(/,$/, ""));
    found.push(finding);
    list.append(shown(finding));
  }
  if (!isWhole) throw new Problem(0, "No answer", "The server stopped before the end. Look again.");
  return found;
}

/** @param {Finding} finding */
function shown({ agent_id: agent, session_id: session, explanation, can_fix: canFix }) {
  const where = [agent, session].filter(Boolean).join(" / ");
  const to = { agent: agent ?? "", session: session ?? "", entry: "", at: "", show: /** @type {const} */ ("") };
  return h(
    "li",
    null,
    where && h("p", null, agent ? h("a", { href: address(to), "data-here": true }, where) : where),
    h("p", null, explanation, canFix && h("span", { class: "badge" }, "Can be mended")),
  );
}

/** @param {Finding[]} found */
function summary(found) {
  if (!found.length) return "Nothing is wrong.";
  const canFix = found.filter((finding) => finding.can_fix).length;
  const hint = canFix ? ` “mythline doctor --fix” mends ${canFix === found.length ? "all of it" : several(canFix, "of them", "of them")}.` : "";
  return `${several(found.length, "finding")}.${hint}`;
}
