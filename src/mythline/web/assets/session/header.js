// A session's header: its title, tags and what can be done with it.

import { fill, h, icon, iconButton } from "../lib/dom.js";
import { address, here } from "../lib/place.js";
import { named, several, size, when, whole } from "../lib/words.js";
import { openMenu } from "../ui/menu.js";
import { archive, FORMATS, fork, redescribe, remove } from "./acts.js";
import { showBranches } from "./branches.js";
import { exportAll } from "./export.js";
import { copy } from "./prose.js";

/** @import { Branch, Info } from "../lib/types.js" */

/**
 * @typedef {object} Acts
 * @property {(info: Info) => void} onInfo
 * @property {() => void} reload
 * @property {() => Branch[]} branches
 * @property {(ids: string[]) => void} leave
 * @property {() => void} openSidebar
 */

export class Header {
  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    this.element = h("header", { class: "head" });
    /** @type {Info | null} */
    this.info = null;
  }

  /** @param {Info | null} info */
  show(info) {
    this.info = info;
    const toList = iconButton("menu", "Sessions", () => this.acts.openSidebar(), { class: "quiet to-list" });
    if (!info) {
      document.title = "Mythline";
      fill(this.element, toList);
      return;
    }
    document.title = `${named(info)} · Mythline`;
    const { activeElement } = document;
    if (activeElement instanceof HTMLInputElement && this.element.contains(activeElement)) return; // someone types
    fill(
      this.element,
      toList,
      h("div", { class: "names" }, this.title(info), this.line(info)),
      h("div", { class: "acts", role: "toolbar", "aria-label": "This session" }, this.buttons(info)),
    );
  }

  /** @param {Info} info */
  title(info) {
    return h(
      "h1",
      null,
      h(
        "button",
        { type: "button", class: "rename", title: "Rename (r)", onclick: () => this.rename() },
        named(info),
      ),
    );
  }

  /** @param {Info} info */
  line(info) {
    const branches = info.branches.length;
    return h(
      "div",
      { class: "line" },
      h("span", { title: whole(info.last_modified) }, when(info.last_modified)),
      h("span", null, several(info.message_count, "message")),
      h("span", { class: "size" }, size(info.size)),
      branches > 0 &&
        h(
          "button",
          { type: "button", class: "as-link", onclick: () => this.branches() },
          several(branches, "branch", "branches"),
        ),
      info.forked_from &&
        h(
          "a",
          {
            href: address({ session: info.forked_from, entry: info.forked_at ?? "", at: "" }),
            "data-here": true,
          },
          "Fork",
        ),
      h("span", { class: "tags" }, info.tags.map((tag) => this.tag(tag)), this.addTag()),
    );
  }

  /** What is known by now, which may be more than is drawn while someone types. */
  get tags() {
    return this.info?.tags ?? [];
  }

  /** @param {string} tag */
  tag(tag) {
    return h(
      "span",
      { class: "tag" },
      h("a", { href: address({ tag }), "data-here": true, title: `All with the tag ${tag}` }, tag),
      h(
        "button",
        {
          type: "button",
          "aria-label": `Remove the tag ${tag}`,
          onclick: () => void this.change({ tags: this.tags.filter((each) => each !== tag) }),
        },
        icon("close"),
      ),
    );
  }

  addTag() {
    const input = h("input", {
      type: "text",
      class: "new-tag",
      placeholder: "+ tag",
      "aria-label": "Add a tag",
      maxlength: 64,
      size: 6,
      autocomplete: "off",
      list: "known-tags",
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        event.stopPropagation();
        if (event.key === "Escape") {
          input.value = "";
          input.blur();
        }
        if (event.key !== "Enter") return;
        const tag = input.value.trim();
        input.value = "";
        input.blur();
        if (tag && !this.tags.includes(tag)) void this.change({ tags: [...this.tags, tag] });
      },
    });
    return input;
  }

  /** @param {Info} info */
  buttons(info) {
    const more = iconButton("more", "More", () => openMenu(more, this.entries(info)), {
      "aria-haspopup": "menu",
    });
    return [
      iconButton("pin", info.pinned ? "Unpin" : "Pin", () => void this.change({ pinned: !info.pinned }), {
        "aria-pressed": String(info.pinned),
      }),
      iconButton("branch", "Branches (b)", () => this.branches(), { class: "quiet wide-only" }),
      iconButton("trash", "Delete", () => this.remove(), { class: "quiet wide-only" }),
      more,
    ];
  }

  /**
   * @param {Info} info
   * @returns {(import("../ui/menu.js").Entry | null)[]}
   */
  entries(info) {
    return [
      { icon: "edit", label: "Rename", hint: "r", act: () => this.rename() },
      { icon: "fork", label: "Fork", hint: "f", act: () => this.fork() },
      { icon: "branch", label: "Branches", hint: "b", act: () => this.branches() },
      { icon: "link", label: "Copy link", act: () => copy(new URL(address({ entry: "" }), location.href).href, "Link copied.") },
      null,
      ...FORMATS.map(
        ({ name, label, hint }) =>
          /** @type {import("../ui/menu.js").Entry} */ ({
            icon: "download",
            label: `Export as ${label}`,
            hint,
            act: () => exportAll(info.agent_id, [info], name),
          }),
      ),
      null,
      {
        icon: "archive",
        label: info.archived ? "Take out of the archive" : "Archive",
        hint: "e",
        act: () => this.archive(),
      },
      { icon: "trash", label: "Delete", hint: "Del", danger: true, act: () => this.remove() },
    ];
  }

  branches() {
    if (this.info) showBranches(this.info, this.acts.branches());
  }

  fork() {
    if (this.info) void fork(this.info);
  }

  remove() {
    const { info } = this;
    if (!info) return;
    this.acts.leave([info.session_id]); // now there is another one here
    void remove([info]);
  }

  archive() {
    if (!this.info) return;
    const { info } = this;
    if ((here().within === "archived") === info.archived) this.acts.leave([info.session_id]);
    void archive([info], !info.archived);
  }

  /** @param {Record<string, any>} change @param {Info | null} [from] what it was made from */
  async change(change, from = this.info) {
    if (!from) return;
    const changed = await redescribe(from, change, this.acts.reload);
    if (changed) this.acts.onInfo(changed);
  }

  /** Write the title anew, in its place. */
  rename() {
    const place = this.element.querySelector("h1");
    if (!place || !this.info) return;
    const { info } = this;
    const input = h("input", {
      type: "text",
      class: "title",
      value: info.title ?? "",
      maxlength: 200,
      "aria-label": "Title",
      placeholder: "From the first prompt",
    });
    let isDone = false;
    const end = (/** @type {boolean} */ isKept) => {
      if (isDone) return;
      isDone = true;
      const title = input.value.trim() || null;
      const { activeElement } = document;
      const now = this.info?.session_id === info.session_id ? this.info : info;
      place.replaceWith(this.title(now));
      if (activeElement === input) this.element.querySelector("button")?.focus();
      if (!isKept || title === info.title) return;
      // if it got another title while this one was typed, the server says that it came too late
      void this.change({ title }, now.title === info.title ? now : info);
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    });
    input.addEventListener("blur", () => end(true));
    place.replaceChildren(input);
    input.select();
    input.focus();
  }
}

