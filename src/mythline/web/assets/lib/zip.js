// A .zip of files as they are (APPNOTE 6.3.10, method 0): enough to take several home at once.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});

/** CRC-32 of some bytes. @param {Uint8Array} data */
export function crc32(data) {
  let sum = ~0;
  for (const byte of data) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

/**
 * Numbers, the lowest byte first: pairs of bytes and value.
 * @param {...[2 | 4, number]} fields
 */
function numbers(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [width]) => sum + width, 0)));
  let at = 0;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  return new Uint8Array(view.buffer);
}

/**
 * The parts of a .zip, at most 65,535 files and 4 GiB.
 * @param {{ name: string, data: Uint8Array }[]} files
 * @returns {Uint8Array<ArrayBuffer>[]}
 */
export function zip(files) {
  /** @type {Uint8Array[]} */
  const parts = [];
  /** @type {Uint8Array[]} */
  const directory = [];
  let offset = 0;
  const put = (/** @type {Uint8Array} */ part) => {
    parts.push(part);
    offset += part.length;
  };
  for (const { name, data } of files) {
    const named = new TextEncoder().encode(name);
    const start = offset;
    // version, flags (UTF-8), method, time, date (1980-01-01), sum, sizes, length of the name, extra
    /** @type {[2 | 4, number][]} */
    const common = [
      [2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33],
      [4, crc32(data)], [4, data.length], [4, data.length], [2, named.length], [2, 0],
    ];
    put(numbers([4, 0x04034b50], ...common));
    put(named);
    put(data);
    directory.push(
      numbers([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, start]),
      named,
    );
  }
  const start = offset;
  directory.forEach(put);
  put(
    numbers(
      [4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length],
      [4, offset - start], [4, start], [2, 0],
    ),
  );
  return /** @type {Uint8Array<ArrayBuffer>[]} */ (parts);
}
