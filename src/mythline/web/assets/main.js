// The start of the page: its parts, and the keys that work everywhere.

import { ask } from "./lib/api.js";
import { byId, calm } from "./lib/dom.js";
import { listen, onEvent } from "./lib/live.js";
import { go, here, onPlace } from "./lib/place.js";
import { Sidebar } from "./list/sidebar.js";
import { create } from "./session/acts.js";
import { pickFiles, startDrops } from "./session/import.js";
import { SessionView } from "./session/session.js";
import { startFind } from "./find/find.js";
import { startStorage } from "./keep/storage.js";
import { openHelp } from "./ui/help.js";
import { openTheme } from "./ui/theme.js";
import { tellError, undoLast } from "./ui/toast.js";

const AGENT = "mythline-agent";
/** How many milliseconds sessions are asked for later, so that they need not be asked for twice. */
const PATIENCE = 200;
const app = byId("app");
const sidebar = new Sidebar(byId("sidebar"), { importFiles: pickFiles, openHelp, openTheme });
const view = new SessionView(byId("main"), {
  leave: (ids) => sidebar.list.leave(ids),
  openSidebar: () => {
    app.classList.add("listing");
    sidebar.list.focusCurrent();
  },
  agent: () => sidebar.agent(),
});

// On a narrow screen one of the two is shown: the list while no session is open. Without an agent
// there is none, and the other says how to begin.
const narrow = () => app.classList.toggle("listing", Boolean(here().agent) && !here().session);
onPlace((place, before) => {
  if (place.session !== before.session || place.agent !== before.agent) narrow();
  else if (place.session) app.classList.remove("listing");
  if (place.agent !== before.agent) remember(place.agent);
});

/** @param {string} agent */
function remember(agent) {
  try {
    localStorage.setItem(AGENT, agent);
  } catch {
    // storage is switched off
  }
}

function remembered() {
  try {
    return localStorage.getItem(AGENT) ?? "";
  } catch {
    return "";
  }
}

/** Ask which agents there are. */
async function lookAtAgents() {
  try {
    sidebar.know(await ask("api/agents"));
  } catch (error) {
    tellError(error);
  }
}

async function start() {
  /** @type {unknown} */
  let wrong = null;
  let hasLooked = false;
  const heard = listen((isLive) => sidebar.isLive(isLive), () => hasLooked);
  try {
    sidebar.know(await ask("api/agents"));
  } catch (error) {
    wrong = error;
  }
  await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  hasLooked = true;
  const { agents } = sidebar;
  if (!here().agent && agents.length) {
    const last = agents.find((agent) => agent.agent_id === remembered());
    const newest = [...agents].sort((one, other) =>
      (other.last_modified ?? "") > (one.last_modified ?? "") ? 1 : -1,
    );
    go({ agent: (last ?? newest[0]).agent_id }, { replace: true });
  } else {
    sidebar.show(here());
    void view.load(here());
    if (wrong && here().agent) tellError(wrong);
    else if (wrong) view.showError(here(), wrong, () => location.reload());
  }
  narrow();
  startFind();
  startStorage();
  startDrops();
  const later = calm(1000, () => void lookAtAgents());
  onEvent((event) => {
    const isNew = !sidebar.agents.some((agent) => agent.agent_id === event.agent_id);
    if (["created", "deleted", "restored", "purged", "reset"].includes(event.type) || isNew) later();
    if (!here().agent && event.agent_id) go({ agent: event.agent_id }, { replace: true });
  });
}

/** @type {Record<string, () => unknown>} */
const KEYS = {
  "/": () => go({ find: "" }),
  "?": openHelp,
  n: () => here().agent && create(here().agent),
  g: () => {
    app.classList.add("listing");
    sidebar.list.focusCurrent();
  },
  m: () => view.chat.focus(),
  j: () => view.transcript.step(1),
  k: () => view.transcript.step(-1),
  End: () => void view.transcript.toEnd(),
  r: () => view.header.rename(),
  p: () => view.info && view.header.change({ pinned: !view.info.pinned }),
  e: () => view.header.archive(),
  f: () => view.header.fork(),
  b: () => view.header.branches(),
  Delete: () => view.header.remove(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (here().find === null) go({ find: "" });
    return;
  }
  const { target } = event;
  const isWriting = target instanceof Element && target.matches("input, textarea, select");
  if (document.querySelector("dialog[open]")) return;
  if (isCommand && event.key.toLowerCase() === "z" && !event.shiftKey && !isWriting) {
    if (undoLast()) event.preventDefault();
    return;
  }
  if (event.key === "Escape") {
    if (target instanceof HTMLElement && isWriting) target.blur();
    else if (here().at) go({ at: "", entry: "" });
    else if (!app.classList.contains("listing")) sidebar.list.focusCurrent();
    return;
  }
  if (isCommand || event.altKey || isWriting) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  void act();
});

void start();
