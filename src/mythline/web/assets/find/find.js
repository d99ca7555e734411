// Search: as one types, in titles and in everything that was said; the keyboard alone will do.

import { page, told, withQuery } from "../lib/api.js";
import { calm, fill, h, icon } from "../lib/dom.js";
import { address, go, here, onPlace } from "../lib/place.js";
import { sessionsPath } from "../lib/api.js";
import { named, when } from "../lib/words.js";
import { openDialog } from "../ui/dialog.js";

/** @import { Hit, Summary } from "../lib/types.js" */

const TITLES = 5;
const HITS = 30;
/** @type {Record<string, string>} */
const WHO = { user: "You", assistant: "Agent", tool: "Tool" };

/** @type {HTMLDialogElement | null} */
let dialog = null;

/** Open and close with the address. */
export function startFind() {
  onPlace((place) => {
    if (place.find === null) dialog?.close();
    else if (!dialog) open(place.find);
  });
  if (here().find !== null) open(here().find ?? "");
}

/** @param {string} text */
function open(text) {
  const results = h("div", { id: "found", role: "listbox", "aria-label": "Found" });
  const state = h("p", { class: "state", role: "status" });
  const input = h("input", {
    type: "text",
    role: "combobox",
    "aria-label": "Search in titles and messages",
    "aria-controls": "found",
    "aria-expanded": "true",
    "aria-autocomplete": "list",
    placeholder: "Search in titles and messages",
    autocomplete: "off",
    spellcheck: "false",
    value: text,
    autofocus: true,
  });
  let controller = new AbortController();
  let chosen = 0;
  let isSearching = false;
  let opensFirst = false;

  const options = () => /** @type {HTMLAnchorElement[]} */ ([...results.querySelectorAll("[role=option]")]);
  /** @param {number} to */
  const choose = (to) => {
    const all = options();
    chosen = Math.max(0, Math.min(all.length - 1, to));
    all.forEach((option, index) => option.setAttribute("aria-selected", String(index === chosen)));
    input.setAttribute("aria-activedescendant", all[chosen]?.id ?? "");
    all[chosen]?.scrollIntoView({ block: "nearest" });
  };

  const search = async () => {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    const words = input.value.trim();
    if (words !== here().find) go({ find: words }, { replace: true });
    if (!words) {
      fill(results);
      state.textContent = "";
      fill(results, tips());
      return;
    }
    state.textContent = "Searching…";
    try {
      const { agent } = here();
      const titles = agent
        ? page(withQuery(sessionsPath(agent), { q: words, limit: TITLES, archived: "any" }), signal)
        : Promise.resolve({ rows: [] });
      const [inTitles, inMessages] = await Promise.all([titles, messages(words, begun(input.value), signal)]);
      if (signal.aborted) return;
      draw(inTitles.rows, inMessages.rows, inMessages.next !== null);
      isSearching = false;
      if (opensFirst) options()[0]?.click();
    } catch (error) {
      if (!signal.aborted) {
        isSearching = false;
        fill(results);
        state.textContent = told(error);
      }
    }
  };

  /** @param {Summary[]} titles @param {Hit[]} hits @param {boolean} isMore */
  const draw = (titles, hits, isMore) => {
    const { agent } = here();
    fill(
      results,
      titles.length > 0 && h("div", { class: "group", role: "presentation" }, "Sessions"),
      titles.map((session, index) => ofTitle(session, agent, `found-title-${index}`)),
      hits.length > 0 && h("div", { class: "group", role: "presentation" }, "Messages"),
      hits.map((hit, index) => ofHit(hit, `found-hit-${index}`)),
    );
    const found = titles.length + hits.length;
    state.textContent = found
      ? isMore
        ? `The ${found} best. More words find fewer.`
        : `${found} found`
      : "Nothing found. Fewer words find more.";
    choose(0);
  };

  const searchSoon = calm(120, () => void search());
  input.addEventListener("input", () => {
    isSearching = Boolean(input.value.trim());
    opensFirst = false;
    searchSoon();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter" && isSearching) opensFirst = true; // of what comes
    else if (event.key === "Enter") options()[chosen]?.click();
    else return;
    event.preventDefault();
  });
  results.addEventListener("pointermove", (event) => {
    const option = event.target instanceof Element ? event.target.closest("[role=option]") : null;
    const at = options().findIndex((each) => each === option);
    if (at >= 0 && at !== chosen) choose(at);
  });
  dialog = openDialog(
    "Search",
    [h("div", { class: "ask" }, icon("search"), input, h("kbd", null, "Esc")), state, results],
    {
      className: "find",
      titled: false,
      onclose: () => {
        controller.abort();
        dialog = null;
        if (here().find !== null) go({ find: null }, { replace: true });
      },
    },
  );
  input.setSelectionRange(text.length, text.length);
  void search();
}

/**
 * What is typed, with its last word as a beginning: whoever types may not be done with it.
 * @param {string} text
 * @returns {string | null} null if the last word is done
 */
function begun(text) {
  const isInPhrase = (text.match(/"/g) ?? []).length % 2 === 1;
  return !isInPhrase && /[\p{L}\p{N}]{2}$/u.test(text) ? `${text.trim()}*` : null;
}

/**
 * The messages with these words, then those with what begins so.
 * @param {string} words
 * @param {string | null} beginning
 * @param {AbortSignal} signal
 */
async function messages(words, beginning, signal) {
  const find = (/** @type {string} */ q) => page(withQuery("api/search", { q, limit: HITS }), signal);
  const found = await find(words);
  if (!beginning || found.rows.length >= HITS) return found;
  const key = (/** @type {Hit} */ hit) => `${hit.agent_id} ${hit.session_id} ${hit.entry_id} ${hit.role}`;
  const known = new Set(found.rows.map(key));
  const more = await find(beginning);
  const others = more.rows.filter((/** @type {Hit} */ hit) => !known.has(key(hit)));
  return { ...more, rows: [...found.rows, ...others] };
}

function tips() {
  return h(
    "ul",
    { class: "tips" },
    h("li", null, h("kbd", null, "two words"), " both must be in the message"),
    h("li", null, h("kbd", null, '"in a row"'), " finds the phrase"),
    h("li", null, h("kbd", null, "drag*"), " finds how words begin"),
  );
}

/** @param {Summary} session @param {string} agent @param {string} id */
function ofTitle(session, agent, id) {
  return h(
    "a",
    {
      id,
      role: "option",
      "aria-selected": "false",
      tabindex: -1,
      href: address({ agent, session: session.session_id, entry: "", at: "", find: null, show: "" }),
      "data-here": true,
    },
    h(
      "span",
      { class: "first" },
      h("span", { class: "title" }, named(session)),
      h("time", null, when(session.last_modified)),
    ),
  );
}

/** @param {Hit} hit @param {string} id */
function ofHit(hit, id) {
  return h(
    "a",
    {
      id,
      role: "option",
      "aria-selected": "false",
      tabindex: -1,
      href: address({
        agent: hit.agent_id,
        session: hit.session_id,
        entry: hit.entry_id,
        at: hit.is_current ? "" : hit.entry_id,
        find: null,
        show: "",
        within: "",
        tag: "",
        q: "",
      }),
      "data-here": true,
    },
    h(
      "span",
      { class: "first" },
      h("span", { class: "title" }, hit.title || "New session"),
      hit.agent_id !== here().agent && h("span", { class: "agent-of" }, hit.agent_id),
      !hit.is_current && h("span", { class: "badge" }, "in a branch"),
      h("time", null, when(hit.timestamp)),
    ),
    h("span", { class: "snippet" }, h("b", null, `${WHO[hit.role] ?? hit.role}: `), marked(hit)),
  );
}

/** A snippet with its marks, which count characters, not UTF-16. @param {Hit} hit */
function marked({ snippet, marks }) {
  const letters = [...snippet];
  /** @type {(Node | string)[]} */
  const made = [];
  let from = 0;
  for (const [start, end] of marks) {
    made.push(letters.slice(from, start).join(""), h("mark", null, letters.slice(start, end).join("")));
    from = end;
  }
  made.push(letters.slice(from).join(""));
  return made;
}
