// Several sessions at once: to tag, export, archive and delete them.

import { count, several } from "../lib/words.js";
import { h, iconButton } from "../lib/dom.js";
import { here } from "../lib/place.js";
import { askText } from "../ui/dialog.js";
import { openMenu } from "../ui/menu.js";
import { archive, FORMATS, purge, remove, restore, tagAll } from "../session/acts.js";
import { exportAll } from "../session/export.js";

/** @import { Summary } from "../lib/types.js" */
/** @import { SessionList } from "./list.js" */

export class Selection {
  /** @param {SessionList} list */
  constructor(list) {
    this.list = list;
    /** @type {Set<string>} */
    this.chosen = new Set();
    this.last = "";
    this.element = h("div", { class: "selection", role: "toolbar", "aria-label": "Selected sessions", hidden: true });
  }

  get size() {
    return this.chosen.size;
  }

  /** @param {string} id */
  has(id) {
    return this.chosen.has(id);
  }

  /**
   * Select a session, or don't any more.
   * @param {string} id
   * @param {boolean} upTo with those between it and the one before
   * @param {boolean} [only] select, never the opposite
   */
  choose(id, upTo, only = false) {
    const ids = this.list.sessions.map((session) => session.session_id);
    const [from, to] = [ids.indexOf(this.last), ids.indexOf(id)].sort((one, other) => one - other);
    if (upTo && from >= 0) for (const each of ids.slice(from, to + 1)) this.chosen.add(each);
    else if (this.chosen.has(id) && !only) this.chosen.delete(id);
    else this.chosen.add(id);
    this.last = id;
    this.draw();
  }

  clear() {
    if (!this.size) return;
    this.chosen.clear();
    this.draw();
  }

  /** Let go of what isn't listed any more. @param {Summary[]} sessions */
  keep(sessions) {
    if (!this.size) return;
    const ids = new Set(sessions.map((session) => session.session_id));
    this.chosen = new Set([...this.chosen].filter((id) => ids.has(id)));
    this.draw();
  }

  /** The selected ones, as they are listed. */
  sessions() {
    return this.list.sessions.filter((session) => this.chosen.has(session.session_id));
  }

  draw() {
    this.element.hidden = !this.size;
    this.list.element.classList.toggle("selecting", Boolean(this.size));
    this.list.redraw();
    if (!this.size) return;
    const isTrash = here().within === "trash";
    const isArchived = here().within === "archived";
    /** @type {HTMLElement} */
    const button = iconButton("download", "Export", () =>
      openMenu(
        button,
        FORMATS.map(({ name, label, hint }) => ({
          label,
          hint,
          act: () => exportAll(here().agent, this.sessions(), name),
        })),
      ),
    );
    this.element.replaceChildren(
      h("span", { class: "told", title: several(this.size, "session") }, `${count(this.size)} selected`),
      ...(isTrash
        ? [
            iconButton("restore", "Restore", () => void this.act((sessions) => restore(sessions))),
            iconButton("trash", "Delete for good", () => void this.act((sessions) => purge(sessions))),
          ]
        : [
            iconButton("tag", "Tag", () => void this.tag()),
            button,
            iconButton("archive", isArchived ? "Take out of the archive" : "Archive", () =>
              void this.act((sessions) => archive(sessions, !isArchived)),
            ),
            iconButton("trash", "Delete", () => void this.remove()),
          ]),
      iconButton("close", "Select none", () => this.clear()),
    );
  }

  /** @param {(sessions: Summary[]) => Promise<unknown>} what */
  async act(what) {
    const sessions = this.sessions();
    const done = await what(sessions);
    if (done !== false) this.clear();
  }

  async remove() {
    await this.act(async (sessions) => {
      this.list.leave(sessions.map((session) => session.session_id));
      await remove(sessions);
    });
  }

  async tag() {
    const hints = [...new Set(this.list.sessions.flatMap((session) => session.tags))];
    const tag = await askText(`Tag ${several(this.size, "session")}`, "Tag", { max: 64, button: "Add", hints });
    if (tag) await this.act((sessions) => tagAll(sessions, tag));
  }
}
