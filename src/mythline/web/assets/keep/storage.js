// Storage and retention: what there is, what would be pruned, what the server does by itself.

import { ask, page, sessionsPath, told, withQuery } from "../lib/api.js";
import { fill, h, icon } from "../lib/dom.js";
import { address, go, here, onPlace } from "../lib/place.js";
import { ahead, count, several, size, whole } from "../lib/words.js";
import { confirmed, openDialog } from "../ui/dialog.js";
import { toast, trying } from "../ui/toast.js";
import { doctor } from "./doctor.js";

/** @import { Agent, Summary } from "../lib/types.js" */

/** @type {HTMLDialogElement | null} */
let dialog = null;

/** Open and close with the address. */
export function startStorage() {
  onPlace((place) => {
    if (place.show !== "storage") dialog?.close();
    else if (!dialog) open();
  });
  if (here().show === "storage") open();
}

function open() {
  const sizes = h("section", null, h("h3", null, "Agents"), h("p", { class: "loading" }, "Adding up…"));
  const kept = h("section", null, h("h3", null, "Retention"), h("p", { class: "loading" }, "Loading…"));
  const pruning = h("section", null, h("h3", null, "Prune"));
  if (here().agent) pruning.append(form(here().agent));
  else pruning.hidden = true;
  const checked = doctor();
  dialog = openDialog("Storage", [sizes, kept, pruning, checked.element], {
    className: "storage",
    onclose: () => {
      dialog = null;
      checked.stop();
      if (here().show) go({ show: "" }, { replace: true });
    },
  });
  void showSizes(sizes);
  void showRetention(kept);
}

/**
 * How much one could prune, and what is pinned beside it.
 * @param {string} agent
 */
async function sizeOf(agent) {
  const pruned = ask(sessionsPath(agent, "prune"), { method: "POST", json: { keep: 0, dry_run: true } });
  let pinned = 0;
  const first = withQuery(sessionsPath(agent), { pinned_first: true, archived: "any", limit: 200 });
  for (let next = /** @type {string | null} */ (first); next; ) {
    const found = await page(next);
    const rows = /** @type {Summary[]} */ (found.rows);
    for (const row of rows) if (row.pinned) pinned += row.size;
    next = rows.every((row) => row.pinned) ? found.next : null;
  }
  return (await pruned).bytes + pinned;
}

/** @param {HTMLElement} section */
async function showSizes(section) {
  try {
    /** @type {Agent[]} */
    const agents = await ask("api/agents");
    const rows = await Promise.all(
      agents.map(async (agent) => ({ agent, bytes: agent.session_count ? await sizeOf(agent.agent_id) : 0 })),
    );
    const most = Math.max(1, ...rows.map((row) => row.bytes));
    const all = rows.reduce((sum, row) => sum + row.bytes, 0);
    fill(
      section,
      h("h3", null, "Agents"),
      h(
        "table",
        null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Agent"), h("th", { scope: "col" }, "Sessions"), h("th", { scope: "col" }, "Size"), h("td", null))),
        h(
          "tbody",
          null,
          rows.map(({ agent, bytes }) =>
            h(
              "tr",
              null,
              h("th", { scope: "row" }, h("a", { href: address({ agent: agent.agent_id, session: "", entry: "", at: "", show: "" }), "data-here": true }, agent.agent_id)),
              h("td", null, count(agent.session_count)),
              h("td", null, size(bytes)),
              h("td", { class: "share" }, share(bytes / most)),
            ),
          ),
        ),
      ),
      h("p", { class: "sum" }, `${size(all)} in all, without what is in the trash.`),
    );
  } catch (error) {
    fill(section, h("h3", null, "Agents"), h("p", { role: "alert" }, told(error)));
  }
}

/** @param {number} part of the largest */
function share(part) {
  const bar = h("span", { class: "part" });
  bar.style.width = `${Math.max(1, 100 * part)}%`;
  return bar;
}

/** @param {HTMLElement} section */
async function showRetention(section) {
  try {
    const kept = await ask("api/retention");
    const days = kept.trash_days;
    const { schedule, last_run: last } = kept;
    const bounds = schedule && [
      schedule.older_than && `not saved for ${schedule.older_than}`,
      schedule.keep !== null && `beyond the last ${count(schedule.keep)} of an agent`,
      schedule.max_bytes !== null && `beyond ${size(schedule.max_bytes)} of an agent`,
    ];
    const would = kept.would_prune.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.pruned, 0);
    fill(
      section,
      h("h3", null, "Retention"),
      h("p", null, days === null ? "Deleted sessions stay in the trash until you purge them." : days === 0 ? "Deleted sessions are gone at once." : `Deleted sessions can be restored for ${several(days, "day")}.`),
      schedule
        ? h("p", null, `Every ${schedule.every}, the server moves to the trash what is ${bounds.filter(Boolean).join(", or ")}. Pinned sessions stay.${schedule.next_run ? ` Next ${ahead(schedule.next_run)}: ${several(would, "session")}.` : ""}`)
        : h("p", null, "The server prunes nothing by itself. Start it with MYTHLINE_PRUNE_OLDER_THAN=90d, say, to have it do so."),
      last && h("p", null, `The last time, ${whole(last.started)}, it moved ${several(last.pruned, "session")} (${size(last.bytes)}).${last.error ? ` ${last.error}` : ""}`),
    );
  } catch (error) {
    fill(section, h("h3", null, "Retention"), h("p", { role: "alert" }, told(error)));
  }
}

/** @param {string} agent */
function form(agent) {
  const age = h("input", { type: "text", id: "prune-age", placeholder: "90d", pattern: "\\d+[wdhms]", title: "A number and w, d, h, m or s", size: 8 });
  const keep = h("input", { type: "number", id: "prune-keep", min: 0, placeholder: "500" });
  const bytes = h("input", { type: "number", id: "prune-size", min: 0, placeholder: "100" });
  const result = h("div", { class: "would", role: "status" });
  const bounds = () => ({
    ...(age.value && { older_than: age.value.trim() }),
    ...(keep.value && { keep: Number(keep.value) }),
    ...(bytes.value && { max_bytes: Math.round(Number(bytes.value) * 1e6) }),
  });
  const path = sessionsPath(agent, "prune");
  const look = async () => {
    const asked = bounds();
    if (!Object.keys(asked).length) {
      fill(result, "Fill in one of the three.");
      return;
    }
    fill(result, "Looking…");
    const found = await ask(path, { method: "POST", json: { ...asked, dry_run: true } });
    const shown = /** @type {string[]} */ (found.sessions).slice(0, 5);
    fill(
      result,
      h("p", null, found.pruned ? `${several(found.pruned, "session")} would go to the trash (${size(found.bytes)}).` : "Nothing would go."),
      h("ul", null, shown.map((id) => h("li", null, h("a", { href: address({ session: id, entry: "", at: "", show: "" }), "data-here": true }, id)))),
      found.pruned > shown.length && h("p", null, `and ${count(found.pruned - shown.length)} more`),
      found.pruned > 0 &&
        h(
          "button",
          { type: "button", class: "danger", onclick: () => void prune(asked, found.pruned) },
          icon("trash"),
          `Move ${several(found.pruned, "session")} to the trash`,
        ),
    );
  };
  /** @param {Record<string, any>} what @param {number} expected */
  const prune = async (what, expected) => {
    const question = "They can be restored from the trash. Pinned sessions stay.";
    if (!(await confirmed(`Prune ${several(expected, "session")}?`, question, "Move to the trash"))) return;
    await trying(async () => {
      const done = await ask(path, { method: "POST", json: { ...what, dry_run: false } });
      fill(result);
      toast(`Moved ${several(done.pruned, "session")} to the trash.`);
    });
  };
  const field = (/** @type {string} */ label, /** @type {HTMLInputElement} */ input, /** @type {string} */ unit) =>
    h("div", { class: "field" }, h("label", { for: input.id }, label), input, h("span", null, unit));
  return h(
    "form",
    {
      onsubmit: (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        void trying(look);
      },
    },
    h("p", null, `Sessions of ${agent} that one of these is true of:`),
    field("Not saved for", age, "90d, 12h, 2w"),
    field("All but the last", keep, "sessions"),
    field("Beyond", bytes, "MB"),
    h("button", { type: "submit" }, "What would go?"),
    result,
  );
}
