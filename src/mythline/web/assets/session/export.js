// Sessions as files: one as it is, several as a .zip, which is written here.

import { send, sessionsPath, withQuery } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { zip } from "../lib/zip.js";
import { toast } from "../ui/toast.js";
import { each } from "./acts.js";
import { several } from "../lib/words.js";

/** @typedef {"json" | "jsonl" | "markdown" | "html"} Format */

/** @type {Record<Format, string>} */
const SUFFIXES = { json: ".json", jsonl: ".jsonl", markdown: ".md", html: ".html" };

/** @param {string} agent @param {string} id @param {Format} format */
function path(agent, id, format) {
  return withQuery(sessionsPath(agent, id, "export"), { format });
}

/** @param {string} href @param {string} name */
function save(href, name) {
  const link = h("a", { href, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/**
 * Save sessions as files.
 * @param {string} agent
 * @param {{ session_id: string }[]} sessions
 * @param {Format} format
 */
export async function exportAll(agent, sessions, format) {
  if (sessions.length === 1) {
    const [{ session_id: id }] = sessions;
    save(path(agent, id, format), `${id}${SUFFIXES[format]}`);
    return;
  }
  /** @type {{ name: string, data: Uint8Array }[]} */
  const files = [];
  const done = await each(sessions, async ({ session_id: id }) => {
    const response = await send(path(agent, id, format));
    files.push({ name: `${id}${SUFFIXES[format]}`, data: new Uint8Array(await response.arrayBuffer()) });
  });
  if (!done.length) return;
  files.sort((one, other) => (one.name < other.name ? -1 : 1));
  const url = URL.createObjectURL(new Blob(zip(files), { type: "application/zip" }));
  save(url, `${agent}.zip`);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  toast(`Exported ${several(done.length, "session")}.`);
}
