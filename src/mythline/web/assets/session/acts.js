// What one can do with sessions. All of it tells what it did, and how to undo it.

import { ask, ifMatch, Problem, send, sessionsPath, withQuery } from "../lib/api.js";
import { go, here, NO_SESSION } from "../lib/place.js";
import { named, several } from "../lib/words.js";
import { confirmed } from "../ui/dialog.js";
import { progress, tellError, toast, trying } from "../ui/toast.js";

/** @import { Info, Summary } from "../lib/types.js" */

export const FORMATS = /** @type {const} */ ([
  { name: "markdown", label: "Markdown", hint: "to read" },
  { name: "html", label: "HTML", hint: "to read and print" },
  { name: "json", label: "JSON", hint: "messages, for programs" },
  { name: "jsonl", label: "JSONL", hint: "all of it, to import again" },
]);

const AT_ONCE = 6;
const MANY = 20;

/**
 * Do something for each, a few at a time; those for which it worked. What failed is told, once.
 * @template {{ session_id: string }} Of
 * @param {Of[]} all
 * @param {(one: Of) => Promise<unknown>} act
 * @returns {Promise<Of[]>}
 */
export async function each(all, act) {
  /** @type {Of[]} */
  const done = [];
  /** @type {unknown[]} */
  const errors = [];
  const waiting = [...all];
  const shown = all.length > MANY ? progress(`${several(all.length, "session")}…`, all.length) : null;
  const work = async () => {
    for (let one = waiting.shift(); one; one = waiting.shift()) {
      try {
        await act(one);
        done.push(one);
      } catch (error) {
        errors.push(error);
      }
      shown?.step();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  shown?.close();
  if (errors.length) tellError(errors[0]);
  return done;
}

/** @param {{ session_id: string, title: string | null }[]} sessions */
function quoted(sessions) {
  return sessions.length === 1 ? `“${named(sessions[0])}”` : several(sessions.length, "session");
}

/**
 * To the trash.
 * @param {Summary[]} sessions
 */
export async function remove(sessions) {
  const { agent } = here();
  const done = await each(sessions, (session) =>
    send(sessionsPath(agent, session.session_id), { method: "DELETE" }),
  );
  if (!done.length) return;
  toast(`Deleted ${quoted(done)}.`, { undo: () => bring(agent, done) });
}

/** @param {string} agent @param {Summary[]} sessions */
async function bring(agent, sessions) {
  const done = await each(sessions, (session) =>
    send(sessionsPath(agent, session.session_id, "restore"), { method: "POST" }),
  );
  if (done.length === 1 && here().agent === agent) {
    go({ session: done[0].session_id, entry: "", at: "", within: here().within === "trash" ? "" : here().within });
  }
  return done;
}

/** Out of the trash. @param {Summary[]} sessions */
export async function restore(sessions) {
  const done = await bring(here().agent, sessions);
  if (done.length) toast(`Restored ${quoted(done)}.`);
}

/** For good, after a question. @param {Summary[]} sessions */
export async function purge(sessions) {
  const { agent } = here();
  const question = `Nothing brings ${sessions.length === 1 ? "it" : "them"} back after this.`;
  if (!(await confirmed(`Delete ${quoted(sessions)} for good?`, question, "Delete for good"))) return false;
  const done = await each(sessions, (session) =>
    send(withQuery(sessionsPath(agent, session.session_id), { permanent: true }), { method: "DELETE" }),
  );
  if (done.length) toast(`Deleted ${quoted(done)} for good.`);
  return true;
}

/** All of the trash, after a question. */
export async function emptyTrash() {
  const { agent } = here();
  const question = "All sessions of this agent in the trash are gone after this.";
  if (!(await confirmed("Empty the trash?", question, "Empty the trash"))) return;
  await trying(async () => {
    const { purged } = await ask(withQuery(sessionsPath(agent, "trash"), { confirm: true }), { method: "DELETE" });
    toast(`Deleted ${several(purged, "session")} for good.`);
  });
}

/** @param {Summary[]} sessions @param {boolean} archived */
export async function archive(sessions, archived) {
  const { agent } = here();
  const set = (/** @type {boolean} */ value) => (/** @type {Summary} */ session) =>
    describe(agent, session.session_id, { archived: value });
  const done = await each(sessions, set(archived));
  if (!done.length) return;
  const what = archived ? "Archived" : "Took out of the archive:";
  toast(`${what} ${quoted(done)}.`, { undo: () => each(done, set(!archived)) });
}

/** @param {Summary[]} sessions @param {string} tag */
export async function tagAll(sessions, tag) {
  const { agent } = here();
  const without = sessions.filter((session) => !session.tags.includes(tag));
  const done = await each(without, (session) =>
    describe(agent, session.session_id, { tags: [...session.tags, tag] }),
  );
  if (!done.length) return;
  toast(`Tagged ${quoted(done)} “${tag}”.`, {
    undo: () => each(done, (session) => describe(agent, session.session_id, { tags: session.tags })),
  });
}

/**
 * Change what describes a session.
 * @param {string} agent
 * @param {string} id
 * @param {Record<string, any>} change
 * @param {string} [revision] only if it is still at this one
 * @returns {Promise<Info>}
 * @throws {Problem}
 */
export function describe(agent, id, change, revision) {
  const headers = revision ? ifMatch(revision) : {};
  return ask(sessionsPath(agent, id), { method: "PATCH", json: change, headers });
}

/**
 * As `describe`, of what the page shows. If it changed meanwhile, the one who sits there decides.
 * @param {Info} info
 * @param {Record<string, any>} change
 * @param {() => unknown} reload
 * @returns {Promise<Info | null>}
 */
export async function redescribe(info, change, reload) {
  try {
    return await describe(info.agent_id, info.session_id, change, info.revision);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 412) {
      tellError(error);
      return null;
    }
    const keep = () => trying(() => describe(info.agent_id, info.session_id, change));
    toast("The session was changed elsewhere meanwhile.", {
      isError: true,
      stays: true,
      choices: [
        { label: "Reload", act: reload },
        { label: "Keep mine", act: keep },
      ],
    });
    return null;
  }
}

/** Make a session, and go to it. @param {string} agent */
export async function create(agent) {
  await trying(async () => {
    const made = await ask(sessionsPath(agent, "create"), { method: "POST" });
    go({ agent, session: made.session_id, entry: "", at: "", within: "", tag: "", q: "", show: "", find: null });
  });
}

/**
 * Make a session that starts from another one's history, and go to it.
 * @param {Info} info
 * @param {string} [entry] where it ends
 */
export async function fork(info, entry) {
  await trying(async () => {
    const title = info.title ? `${[...info.title].slice(0, 190).join("")} (fork)` : undefined;
    const made = await ask(sessionsPath(info.agent_id, info.session_id, "fork"), {
      method: "POST",
      json: { entry_id: entry, title },
    });
    const { agent_id: agent, session_id: before } = info;
    go({ session: made.session_id, entry: "", at: "", within: "" });
    toast("This is the fork. It goes its own way from here.", {
      undo: async () => {
        await trying(() => send(withQuery(sessionsPath(agent, made.session_id), { permanent: true }), { method: "DELETE" }));
        go({ ...NO_SESSION, agent, session: before });
      },
    });
  });
}
