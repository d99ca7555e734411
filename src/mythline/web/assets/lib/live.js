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
 * Begin to listen. What comes back is done once this hears, or can't for now.
 * @param {(isLive: boolean) => void} onState
 * @param {() => boolean} hasLooked whether what is shown was asked for by now
 * @returns {Promise<void>}
 */
export function listen(onState, hasLooked) {
  return new Promise((resolve) => {
    if (!navigator.locks || !globalThis.BroadcastChannel) {
      open({ onState, hasLooked, pass: () => {}, onTried: resolve });
      return;
    }
    const name = `mythline-events ${new URL("api/events", document.baseURI).pathname}`;
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => {
      if (typeof data === "boolean") onState(data);
      else tell(data);
    };
    const lead = () => {
      open({
        onState: (isLive) => {
          onState(isLive);
          channel.postMessage(isLive);
        },
        hasLooked,
        pass: (event) => channel.postMessage(event),
        onTried: resolve,
      });
      return new Promise(() => {}); // until the tab is closed
    };
    void navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (lock) return lead();
      resolve(); // another tab listens
      void navigator.locks.request(name, lead);
    });
  });
}

/**
 * @typedef {object} How
 * @property {(isLive: boolean) => void} onState
 * @property {() => boolean} hasLooked
 * @property {(event: StoreEvent) => void} pass
 * @property {() => void} onTried
 */

/** @param {How} how */
function open(how) {
  const source = new EventSource("api/events");
  const take = (/** @type {StoreEvent} */ event) => {
    tell(event);
    how.pass(event);
  };
  source.addEventListener("ready", () => how.onState(true));
  source.onopen = () => {
    how.onState(true);
    how.onTried();
    // nobody heard what happened between that look and now
    if (how.hasLooked()) take({ type: "reset", agent_id: null, session_id: null, revision: null });
  };
  source.onerror = () => {
    how.onState(false);
    how.onTried();
    if (source.readyState !== EventSource.CLOSED) return; // it comes back by itself
    setTimeout(() => open(how), 5000);
  };
  for (const type of TYPES) {
    source.addEventListener(type, (message) => take(JSON.parse(message.data)));
  }
}
