// The HTTP API: the page's only source.

/**
 * An answer that is an error. `message` says what to do.
 */
export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no answer
   * @param {string} title
   * @param {string} detail
   */
  constructor(status, title, detail) {
    super(detail);
    this.status = status;
    this.title = title;
  }
}

/**
 * The path of an agent's sessions, or of what is below them.
 * @param {string} agent
 * @param {...string} parts
 */
export function sessionsPath(agent, ...parts) {
  return ["api/agents", agent, "sessions", ...parts].map(inPath).join("/");
}

/** @param {string} part */
function inPath(part) {
  return part === "api/agents" ? part : encodeURIComponent(part);
}

/**
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined>} [query] empty ones are left out
 */
export function withQuery(path, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @typedef {object} Options
 * @property {string} [method]
 * @property {any} [json] the body
 * @property {BodyInit} [body]
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * Send a request.
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Response>}
 * @throws {Problem}
 */
export async function send(path, options = {}) {
  const { json, ...rest } = options;
  const headers = { ...options.headers };
  /** @type {RequestInit} */
  const request = { cache: "no-cache", ...rest, headers };
  if (json !== undefined) {
    request.body = JSON.stringify(json);
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, "No answer", "The server doesn't answer. Is it still running?");
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/** @param {Response} response */
async function problemOf(response) {
  /** @type {any} */
  let told = null;
  try {
    told = await response.json();
  } catch {
    // no problem of ours: a proxy's page, say
  }
  const detail = typeof told?.detail === "string" ? told.detail : "Try again in a moment.";
  const errors = Array.isArray(told?.errors)
    ? told.errors.map((/** @type {any} */ each) => each?.msg ?? each?.detail ?? "").filter(Boolean)
    : [];
  const whole = errors.length ? `${detail} ${errors.join(" ")}` : detail;
  return new Problem(response.status, String(told?.title ?? response.statusText), whole);
}

/**
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 * @throws {Problem}
 */
export async function ask(path, options) {
  return (await send(path, options)).json();
}

/**
 * A page of a list, and the path of the next one.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<{ rows: any[], next: string | null, total: number | null }>}
 * @throws {Problem}
 */
export async function page(path, signal) {
  const response = await send(path, { signal });
  const found = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "");
  const total = response.headers.get("X-Total-Count");
  return {
    rows: await response.json(),
    next: found ? found[1].slice(found[1].indexOf("/api/") + 1) : null,
    total: total === null ? null : Number(total),
  };
}

/** Whether it may work in a moment: the server was too busy, or wasn't there. @param {unknown} error */
export function isPassing(error) {
  return error instanceof Problem && (error.status === 0 || error.status >= 500);
}

/** How many milliseconds until something that didn't work is tried again. */
export const LATER = 2000;

/** What to tell of any error. @param {unknown} error */
export function told(error) {
  return error instanceof Problem ? error.message : "Something went wrong in the page. Load it again.";
}

/** @param {string} revision */
export function ifMatch(revision) {
  return { "If-Match": `"${revision}"` };
}
