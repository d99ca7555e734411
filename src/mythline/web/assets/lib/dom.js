// Elements are made here, of text and attributes: nothing in the page is put together from markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "hidden", "open"]);

/**
 * An element. `on…` are listeners; `null`, `undefined` and `false` leave an attribute out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any> | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) Reflect.set(element, name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

/**
 * @param {Node} parent
 * @param {(Child | Child[])[]} children
 */
function add(parent, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Put other children in an element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.textContent = "";
  add(element, children);
}

/**
 * The element with an id, which is in `index.html`.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

/** Outlines on a grid of 20. */
const PATHS = {
  add: "M10 4v12M4 10h12",
  archive: "M3 5h14v3H3zM4.500 8v7.500h11V8M8 11h4",
  attach: "m14.500 9-5 5a3 3 0 0 1-4.200-4.200L11 4.100a2 2 0 0 1 2.800 2.800L8.300 12.400a1 1 0 0 1-1.400-1.400l4.600-4.600",
  branch: "M6 4v12M6 12c0-4 8-2 8-6M14 6a1.500 1.500 0 1 0 0-3 1.500 1.500 0 0 0 0 3M6 17.500a1.500 1.500 0 1 0 0-3M6 5.500a1.500 1.500 0 1 0 0-3",
  check: "m4.500 10.500 3.500 3.500 7.500-8",
  close: "m5 5 10 10M15 5 5 15",
  copy: "M7 7V4h9v9h-3M4 7h9v9H4z",
  down: "m5 8 5 5 5-5",
  download: "M10 3v9m-4-4 4 4 4-4M4 16h12",
  edit: "m4 16 .8-3.500L13 4.300a1.400 1.400 0 0 1 2 0l.7.700a1.400 1.400 0 0 1 0 2L7.500 15.200z",
  filter: "M3 5h14M6 10h8M8.500 15h3",
  fork: "M6 3v4c0 3 4 2.500 4 5.500V17M14 3v4c0 3-4 2.500-4 5.500",
  keys: "M3 6h14v9H3zM6 9h.01M10 9h.01M14 9h.01M7 12h6",
  link: "M8.500 11.500a3 3 0 0 0 4.200 0l2.400-2.400a3 3 0 0 0-4.200-4.200L9.800 6M11.500 8.500a3 3 0 0 0-4.200 0l-2.400 2.400a3 3 0 0 0 4.200 4.200l1.100-1.100",
  menu: "M3 5.500h14M3 10h14M3 14.500h14",
  moon: "M16 11.500A6.500 6.500 0 0 1 8.500 4 6.500 6.500 0 1 0 16 11.500",
  more: "M5 10.5a.5.500 0 1 0 0-1 .5.500 0 0 0 0 1M10 10.5a.5.500 0 1 0 0-1 .5.500 0 0 0 0 1M15 10.5a.5.500 0 1 0 0-1 .5.500 0 0 0 0 1",
  picture: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 8h.01",
  pin: "M7 3h6l-.8 5 2.300 2.500v1h-9v-1L7.800 8zM10 11.500V17",
  restore: "M4 8a6.500 6.500 0 1 1-.3 4M4 4v4h4",
  retry: "M16 8a6.500 6.500 0 1 0 .3 4M16 4v4h-4",
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12M13.500 13.500 17 17",
  send: "M10 16V4M5 9l5-5 5 5",
  stop: "M6 6h8v8H6z",
  storage: "M4 5c0-1 2.700-2 6-2s6 1 6 2-2.700 2-6 2-6-1-6-2v10c0 1 2.700 2 6 2s6-1 6-2V5M4 10c0 1 2.700 2 6 2s6-1 6-2",
  sun: "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6M10 2.500v1.500M10 16v1.500M2.500 10H4M16 10h1.500M4.700 4.700l1 1M14.300 14.300l1 1M4.700 15.300l1-1M14.300 5.700l1-1",
  tag: "M3 4v6l7 7 6-6-7-7zM6.500 7.500h.01",
  think: "M10 3a5 5 0 0 0-3 9c.6.500 1 1.200 1 2h4c0-.8.400-1.500 1-2a5 5 0 0 0-3-9M8.500 17h3",
  tool: "M12.500 3.500a4 4 0 0 0-4 5L3.500 13.500l3 3 5-5a4 4 0 0 0 5-5l-2.300 2.300-2-.6-.6-2z",
  trash: "M4 6h12M8 6V4h4v2M5.500 6l.7 10h7.600l.7-10",
  upload: "M10 13V4m-4 4 4-4 4 4M4 16h12",
  warn: "M10 3 2.500 16.500h15zM10 8v4M10 14.300h.01",
};

/** @typedef {keyof typeof PATHS} IconName */

const SVG = "http://www.w3.org/2000/svg";

/**
 * A drawing that says nothing to a screen reader: what it is on has the words.
 * @param {IconName} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button that shows a drawing alone.
 * @param {IconName} name
 * @param {string} label
 * @param {(event: MouseEvent) => void} onclick
 * @param {Record<string, any>} [more]
 */
export function iconButton(name, label, onclick, more) {
  return h(
    "button",
    { type: "button", class: "quiet", "aria-label": label, title: label, onclick, ...more },
    icon(name),
  );
}

/**
 * A call that happens once things have been quiet for some milliseconds.
 * @param {number} wait
 * @param {() => void} act
 */
export function calm(wait, act) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, wait);
  };
}
