// Placeholder until the agents' routes are there.
/** @import { Agent, Info, Item } from "../lib/types.js" */
/** @import { Transcript } from "../session/transcript.js" */
import { h } from "../lib/dom.js";

export class Chat {
  /**
   * @param {Transcript} transcript
   * @param {{ agent: () => Agent | undefined, info: () => Info | null, refresh: () => Promise<void> }} options
   */
  constructor(transcript, options) {
    this.transcript = transcript;
    this.options = options;
    this.element = h("div", { class: "composer" });
  }
  /** @param {Info | null} _info */
  know(_info) {}
  focus() {}
  /** @param {boolean} _isOther */
  arrive(_isOther) {}
  /** @param {Item} _item @returns {HTMLElement[]} */
  buttons(_item) {
    return [];
  }
}
