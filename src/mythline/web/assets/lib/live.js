// What happens to sessions, as it happens. A browser holds few connections to one server, so one of
// its tabs listens and tells the others; when that tab is closed, the next one takes over.

/** @import { StoreEvent } from "./types.js" */

const TYPES =
  "created appended changed renamed updated deleted restored purged reset".split(" ");

/** @type {Set<(event: StoreEvent) => void>} */
const listeners = new Set();

/**
 * Be told of every event. `reset` means that some were missed: look at everything again.
 * @param {(event: StoreEvent) => void} listener
 */
export function onEvent(listener) {
  listeners.add(listener);
}

/** @param {StoreEvent} event */
function tell(event) {
  for (const listener of listeners) listener(event);
}

/**
 * Begin to listen.
 * @param {(isLive: boolean) => void} onState
 */
export function listen(onState) {
  if (!navigator.locks || !globalThis.BroadcastChannel) {
    open(onState, () => {});
    return;
  }
  const name = `mythline-events ${new URL("api/events", document.baseURI).pathname}`;
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => {
    if (typeof data === "boolean") onState(data);
    else tell(data);
  };
  void navigator.locks.request(name, () => {
    open((isLive) => {
      onState(isLive);
      channel.postMessage(isLive);
    }, (event) => channel.postMessage(event));
    return new Promise(() => {}); // until the tab is closed
  });
}

/**
 * @param {(isLive: boolean) => void} onState
 * @param {(event: StoreEvent) => void} pass
 */
function open(onState, pass, wasLost = false) {
  const source = new EventSource("api/events");
  const take = (/** @type {StoreEvent} */ event) => {
    tell(event);
    pass(event);
  };
  source.addEventListener("ready", () => onState(true));
  source.onopen = () => {
    onState(true);
    if (wasLost) take({ type: "reset", agent_id: null, session_id: null, revision: null });
    wasLost = false;
  };
  source.onerror = () => {
    wasLost = true;
    onState(false);
    if (source.readyState !== EventSource.CLOSED) return; // it comes back by itself
    setTimeout(() => open(onState, pass, true), 5000);
  };
  for (const type of TYPES) {
    source.addEventListener(type, (message) => take(JSON.parse(message.data)));
  }
}
