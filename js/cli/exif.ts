// How a JPEG is to be turned, as cameras write it down: browsers do so, and so the same picture gives the same classes.

const ORIENTATION = 0x0112;

/** 1 to 8, as in EXIF; 1 where nothing is said or what is said makes no sense. */
export function orientationOf(jpeg: Uint8Array): number {
  const view = new DataView(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength);
  try {
    for (let at = 2; view.getUint8(at) === 0xff;) {
      const marker = view.getUint8(at + 1);
      if (marker === 0xff) {
        at += 1; // padding
        continue;
      }
      // The picture's data begins.
      if (marker === 0xda) break;
      // `Exif`, and two zeros.
      if (marker === 0xe1 && view.getUint32(at + 4) === 0x45786966) return readTiff(view, at + 10);
      at += 2 + view.getUint16(at + 2);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

function readTiff(view: DataView, start: number): number {
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + 12 * i;
    if (view.getUint16(entry, little) !== ORIENTATION) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

export interface Picture {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** The picture upright. */
export function turned({ data, width, height }: Picture, orientation: number): Picture {
  if (orientation === 1) return { data, width, height };
  const swapped = orientation >= 5;
  const [w, h] = swapped ? [height, width] : [width, height];
  const from = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const to = new Uint32Array(width * height);
  // Of the upright picture's axes, which run backwards in the file's.
  const mirrorX = [2, 3, 7, 8].includes(orientation);
  const mirrorY = [3, 4, 6, 7].includes(orientation);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      let [u, v] = swapped ? [y, x] : [x, y];
      if (mirrorX) u = width - 1 - u;
      if (mirrorY) v = height - 1 - v;
      to[y * w + x] = from[v * width + u] ?? 0;
    }
  }
  return { data: new Uint8Array(to.buffer), width: w, height: h };
}
