// A long list of which only what is in sight, and a little around it, is in the document.

/**
 * @template Row
 * @typedef {object} Draw
 * @property {(row: Row) => number} height in pixels
 * @property {(row: Row) => string} key tells rows apart
 * @property {(row: Row, index: number, old: HTMLElement | null) => HTMLElement} draw `old` is the
 *   element of the row before, to be kept or not
 */

const AROUND = 400;

/** @template Row */
export class VirtualList {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} canvas the only child of `scroller` that grows
   * @param {Draw<Row>} how
   * @param {() => void} onEnd called when the end is near
   */
  constructor(scroller, canvas, how, onEnd) {
    this.scroller = scroller;
    this.canvas = canvas;
    this.how = how;
    this.onEnd = onEnd;
    /** @type {Row[]} */
    this.rows = [];
    /** Where each row begins, and last where the list ends. @type {number[]} */
    this.tops = [0];
    /** @type {Map<string, HTMLElement>} */
    this.drawn = new Map();
    let asked = false;
    const later = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        this.show();
      });
    };
    scroller.addEventListener("scroll", later, { passive: true });
    new ResizeObserver(later).observe(scroller);
  }

  /**
   * Show these rows. What is in sight stays where it is.
   * @param {Row[]} rows
   * @param {{ keep?: boolean }} [options] `keep`: by its key, though rows above came or went
   */
  set(rows, options = {}) {
    const before = options.keep ? this.anchor() : null;
    this.rows = rows;
    this.tops = [0];
    for (const row of rows) {
      this.tops.push(this.tops[this.tops.length - 1] + this.how.height(row));
    }
    this.canvas.style.height = `${this.tops[rows.length]}px`;
    if (before) {
      const now = rows.findIndex((row) => this.how.key(row) === before.key);
      if (now >= 0) this.scroller.scrollTop = this.tops[now] + before.below;
    }
    this.show(true);
  }

  /** The first row in sight, unless the top is. */
  anchor() {
    const top = this.scroller.scrollTop;
    if (top < 8 || !this.rows.length) return null;
    const index = this.at(top);
    return { key: this.how.key(this.rows[index]), below: top - this.tops[index] };
  }

  /**
   * The row at a height.
   * @param {number} height
   */
  at(height) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= height) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /**
   * Draw what is in sight.
   * @param {boolean} [anew] also what is drawn already
   */
  show(anew = false) {
    const { rows, tops, drawn, how } = this;
    const top = this.scroller.scrollTop;
    const bottom = top + this.scroller.clientHeight;
    const first = rows.length ? this.at(top - AROUND) : 0;
    const last = rows.length ? this.at(bottom + AROUND) : -1;
    /** @type {Map<string, HTMLElement>} */
    const next = new Map();
    /** @type {HTMLElement[]} */
    const order = [];
    for (let index = first; index <= last; index += 1) {
      const row = rows[index];
      const key = how.key(row);
      const old = drawn.get(key) ?? null;
      const element = old && !anew ? old : how.draw(row, index, old);
      element.style.transform = `translateY(${tops[index]}px)`;
      next.set(key, element);
      order.push(element);
    }
    const focused = document.activeElement;
    for (const [key, element] of drawn) {
      if (next.get(key) === element) continue;
      // What has the focus stays until it moves on, or the keyboard would lose its place.
      if (element.contains(focused) && !next.has(key) && rows.some((row) => how.key(row) === key)) {
        next.set(key, element);
      } else {
        element.remove();
      }
    }
    // In their order, so that Tab and screen readers meet them as they stand.
    order.forEach((element, index) => {
      const before = index ? order[index - 1].nextSibling : this.canvas.firstChild;
      if (before !== element) this.canvas.insertBefore(element, before);
    });
    this.drawn = next;
    if (tops[rows.length] - bottom < 2 * this.scroller.clientHeight + AROUND) this.onEnd();
  }

  /**
   * Bring a row into sight; its element.
   * @param {number} index
   * @returns {HTMLElement | null}
   */
  reveal(index) {
    const row = this.rows[index];
    if (!row) return null;
    const [top, bottom] = [this.tops[index], this.tops[index + 1]];
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top - 8;
    else if (bottom > scrollTop + clientHeight) this.scroller.scrollTop = bottom - clientHeight + 8;
    this.show();
    return this.drawn.get(this.how.key(row)) ?? null;
  }
}
