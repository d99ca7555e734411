// The left of the page: the agent, the way to search, which sessions are listed, and the list.

import { calm, fill, h, icon, iconButton } from "../lib/dom.js";
import { address, go, here, NO_FILTER, NO_SESSION, onPlace } from "../lib/place.js";
import { count } from "../lib/words.js";
import { openMenu } from "../ui/menu.js";
import { create, emptyTrash } from "../session/acts.js";
import { SessionList } from "./list.js";

/** @import { Agent, Place } from "../lib/types.js" */
/** @import { Entry } from "../ui/menu.js" */

const WITHIN = /** @type {const} */ ([
  { within: "", label: "Sessions" },
  { within: "archived", label: "Archived" },
  { within: "trash", label: "Trash" },
]);

export class Sidebar {
  /**
   * @param {HTMLElement} element
   * @param {{ importFiles: () => void, openHelp: () => void, openTheme: (button: HTMLElement) => void }} options
   */
  constructor(element, options) {
    this.options = options;
    /** @type {Agent[]} */
    this.agents = [];
    /** @type {string[]} */
    this.tags = [];
    this.list = new SessionList({
      onNew: () => void create(here().agent),
      onTags: (tags) => {
        this.tags = tags;
        this.chips.classList.toggle("none-listed", !this.list.sessions.length);
        fill(this.known, tags.map((value) => h("option", { value })));
      },
    });
    this.known = h("datalist", { id: "known-tags" });
    this.agentButton = h("button", {
      type: "button",
      class: "agent",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      onclick: () => this.openAgents(),
    });
    this.newButton = iconButton("add", "New session (n)", () => void create(here().agent), { class: "main square" });
    this.filter = h("input", {
      type: "search",
      placeholder: "Filter titles",
      "aria-label": "Filter the list by title",
      autocomplete: "off",
    });
    const filterSoon = calm(200, () => go({ q: this.filter.value.trim() }, { replace: true }));
    this.filter.addEventListener("input", filterSoon);
    this.tabs = h("div", { class: "tabs", role: "group", "aria-label": "Which sessions" });
    this.chips = h("div", { class: "chips" });
    this.orderButton = iconButton("filter", "Order and tags", () => this.openOrder(), { "aria-haspopup": "menu" });
    const themeButton = iconButton("moon", "Theme", () => options.openTheme(themeButton), { "aria-haspopup": "menu" });
    this.live = h("span", { class: "live", role: "status" });
    element.append(
      h("div", { class: "top" }, this.agentButton, this.newButton),
      h(
        "a",
        { class: "to-search", href: address({ find: "" }), "data-here": true, "aria-keyshortcuts": "/ Control+K" },
        icon("search"),
        h("span", { class: "told" }, "Search everything"),
        h("kbd", null, "/"),
      ),
      this.tabs,
      h("div", { class: "filters" }, this.filter, this.orderButton),
      this.chips,
      this.list.element,
      h(
        "footer",
        null,
        this.list.total,
        this.live,
        iconButton("upload", "Import files", () => options.importFiles()),
        h(
          "a",
          { class: "quiet", href: address({ show: "storage" }), "data-here": true, "aria-label": "Storage", title: "Storage" },
          icon("storage"),
        ),
        themeButton,
        iconButton("keys", "Keys (?)", () => options.openHelp()),
      ),
      this.known,
    );
    this.toSearch = /** @type {HTMLAnchorElement} */ (element.querySelector(".to-search"));
    this.toStorage = /** @type {HTMLAnchorElement} */ (element.querySelector("footer a"));
    onPlace((place) => this.show(place));
  }

  /** The agent that is shown. */
  agent() {
    return this.agents.find((agent) => agent.agent_id === here().agent);
  }

  /** @param {Agent[]} agents */
  know(agents) {
    this.agents = agents;
    this.drawAgent();
  }

  drawAgent() {
    const { agent } = here();
    fill(
      this.agentButton,
      h("span", { class: "avatar", "data-letter": (agent || "M").slice(0, 1).toUpperCase() }),
      h("span", { class: "told" }, agent || "Mythline"),
      icon("down"),
    );
    this.agentButton.setAttribute("aria-label", agent ? `Agent: ${agent}` : "Mythline: agents");
    this.agentButton.disabled = !this.agents.length;
    this.newButton.hidden = !agent;
  }

  /** @param {boolean} isLive */
  isLive(isLive) {
    fill(this.live, isLive ? null : "Offline");
    this.live.title = isLive ? "" : "The server doesn't answer. What changes elsewhere isn't shown.";
  }

  /** @param {Place} place */
  show(place) {
    this.drawAgent();
    if (document.activeElement !== this.filter) this.filter.value = place.q;
    this.filter.hidden = place.within === "trash";
    this.orderButton.hidden = place.within === "trash";
    fill(
      this.tabs,
      WITHIN.map(({ within, label }) =>
        h(
          "a",
          {
            href: address({ ...NO_FILTER, ...NO_SESSION, within, show: "", find: null }),
            "data-here": true,
            "aria-current": place.within === within ? "true" : null,
          },
          label,
        ),
      ),
    );
    fill(
      this.chips,
      place.tag &&
        h(
          "a",
          { class: "tag on", href: address({ tag: "" }), "data-here": true, "aria-label": `Not only the tag ${place.tag}` },
          place.tag,
          icon("close"),
        ),
      place.within === "trash" &&
        h("button", { type: "button", class: "as-link", onclick: () => void emptyTrash() }, "Empty the trash"),
    );
    this.toSearch.href = address({ find: "" });
    this.toStorage.href = address({ show: "storage" });
    this.list.show(place);
  }

  openAgents() {
    const { agent } = here();
    const others = this.agents.length ? this.agents : [];
    openMenu(
      this.agentButton,
      others.map((each) => ({
        label: each.agent_id,
        hint: each.runnable ? `${count(each.session_count)} · chat` : count(each.session_count),
        checked: each.agent_id === agent,
        act: () => go({ agent: each.agent_id, ...NO_SESSION, ...NO_FILTER, show: "", find: null }),
      })),
      { label: "Agents" },
    );
  }

  openOrder() {
    const { order, tag } = here();
    /** @param {Place["order"]} value @param {string} label @returns {Entry} */
    const choice = (value, label) => ({
      label,
      checked: order === value,
      act: () => go({ order: value }),
    });
    openMenu(
      this.orderButton,
      [
        choice("", "Saved last first"),
        choice("created", "Made last first"),
        choice("title", "By title, A to Z"),
        ...(this.tags.length ? [null] : []),
        ...this.tags.slice(0, 12).map((each) => ({
          label: each,
          checked: each === tag,
          act: () => go({ tag: each === tag ? "" : each }),
        })),
      ],
      { label: "Order and tags" },
    );
  }
}

