// The one place where markup becomes elements: what the server made of a message's Markdown, and
// sanitized. The page's policy lets nothing else do so.

/** Only some browsers have it, and know of it. @type {any} */
const types = Reflect.get(globalThis, "trustedTypes");
const policy = types?.createPolicy("mythline", {
  createHTML: (/** @type {string} */ html) => html,
});

/**
 * The elements of HTML that the server made safe (`render=html`).
 * @param {string} html
 * @returns {DocumentFragment}
 */
export function rendered(html) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}

/**
 * An address of the web, or null: never one that runs something.
 * @param {string | null | undefined} text
 * @returns {URL | null}
 */
export function webAddress(text) {
  if (!text) return null;
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}
