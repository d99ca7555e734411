// Pictures and files of a message. What is on another host is loaded when someone asks for it.

import { sessionsPath } from "../lib/api.js";
import { h, icon } from "../lib/dom.js";
import { webAddress } from "../lib/html.js";
import { withQuery } from "../lib/api.js";
import { size } from "../lib/words.js";

/** @import { Attachment } from "../lib/types.js" */

/** What browsers show as a picture, and no script can be in; SVG is one, but is shown as a file. */
const PICTURES = /^image\/(?:png|jpeg|gif|webp|avif)$/;

/**
 * @param {Attachment} attachment
 * @param {{ agent: string, session: string, entry: string }} of
 * @returns {HTMLElement}
 */
export function attached(attachment, of) {
  const { kind, media_type: type, name } = attachment;
  if (attachment.file !== undefined) {
    const path = sessionsPath(of.agent, of.session, "files", of.entry, String(attachment.file));
    if (PICTURES.test(type ?? "")) {
      return h(
        "a",
        { class: "picture", "aria-label": `Open the picture ${name ?? ""}`.trim(), href: path, target: "_blank", rel: "noopener" },
        h("img", { src: path, loading: "lazy", alt: name ? `Picture ${name}` : "Picture" }),
      );
    }
    return chip(name || type || "File", attachment, { href: path, download: true });
  }
  const url = webAddress(attachment.url);
  if (!url) return chip(name || type || kind, attachment, null);
  if (kind === "image-url") return remotePicture(url, name ?? "");
  return chip(name || url.hostname, attachment, {
    href: url.href,
    target: "_blank",
    rel: "noopener noreferrer nofollow",
  });
}

/**
 * @param {string} label
 * @param {Attachment} attachment
 * @param {Record<string, any> | null} link
 */
function chip(label, attachment, link) {
  const details = [attachment.media_type, attachment.size === undefined ? "" : size(attachment.size)];
  const shown = [
    icon("attach"),
    h("span", { class: "name" }, label),
    h("span", { class: "details" }, details.filter((each) => each && each !== label).join(" · ")),
  ];
  return link ? h("a", { class: "file", ...link }, shown) : h("span", { class: "file" }, shown);
}

/**
 * A picture of another host, which isn't asked for it before the button is pressed. It is shown in
 * a frame of its own: this page asks no other host.
 * @param {URL} url
 * @param {string} alt
 * @returns {HTMLElement}
 */
export function remotePicture(url, alt) {
  const button = h(
    "button",
    { type: "button", class: "file remote", onclick: load, title: url.href },
    icon("picture"),
    h("span", { class: "name" }, `Show the picture from ${url.hostname}`),
  );
  function load() {
    const frame = h("iframe", {
      class: "remote",
      src: withQuery("picture", { url: url.href }),
      sandbox: "",
      referrerpolicy: "no-referrer",
      title: alt || `Picture from ${url.hostname}`,
      tabindex: -1,
    });
    button.replaceWith(frame);
  }
  return button;
}
