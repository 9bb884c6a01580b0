// The size of a picture, read from its header. A file of a few kilobytes can unpack to gigabytes of pixels.

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A JPEG of more segments before its frame header is not looked through any further. */
const MAX_SEGMENTS = 1000;

/** The size that the header states; undefined when the format is not known or the header is damaged. */
export async function readSize(blob: Blob): Promise<Size | undefined> {
  const head = await view(blob, 0, 30);
  if (head.byteLength < 26) return undefined;
  const size = (width: number, height: number): Size => ({ width, height });
  if (tag(head, 0) === 0x89504e47) return size(head.getUint32(16), head.getUint32(20));
  if (tag(head, 0) === 0x47494638) return size(head.getUint16(6, true), head.getUint16(8, true));
  if (head.getUint16(0) === 0x424d) {
    // The oldest kind of header has 16-bit sizes. A negative height means that the rows go from top to bottom.
    if (head.getUint32(14, true) === 12) return size(head.getUint16(18, true), head.getUint16(20, true));
    return size(Math.abs(head.getInt32(18, true)), Math.abs(head.getInt32(22, true)));
  }
  if (tag(head, 0) === 0x52494646 && tag(head, 8) === 0x57454250) return head.byteLength < 30 ? undefined : webpSize(head);
  if (head.getUint16(0) === 0xffd8) return jpegSize(blob);
  return undefined;
}

function webpSize(head: DataView): Size | undefined {
  switch (tag(head, 12)) {
    case 0x56503820: // 'VP8 ', lossy
      return { width: head.getUint16(26, true) & 0x3fff, height: head.getUint16(28, true) & 0x3fff };
    case 0x5650384c: {
      // 'VP8L', lossless
      const bits = head.getUint32(21, true);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case 0x56503858: // 'VP8X', extended
      return { width: (head.getUint32(24, true) & 0xffffff) + 1, height: (head.getUint32(26, true) >>> 8) + 1 };
    default:
      return undefined;
  }
}

/** Goes from segment to segment: photographs have metadata, often with a thumbnail, before their frame header. */
async function jpegSize(blob: Blob): Promise<Size | undefined> {
  let at = 2;
  for (let segment = 0; segment < MAX_SEGMENTS; segment++) {
    const head = await view(blob, at, 9);
    if (head.byteLength < 9 || head.getUint8(0) !== 0xff) return undefined;
    const marker = head.getUint8(1);
    if (marker === 0xff) {
      at += 1; // padding
      continue;
    }
    // Frame headers are C0 to CF, but for DHT, JPG and DAC.
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { width: head.getUint16(7), height: head.getUint16(5) };
    }
    at += 2 + head.getUint16(2);
  }
  return undefined;
}

function tag(head: DataView, at: number): number {
  return head.getUint32(at);
}

async function view(blob: Blob, start: number, length: number): Promise<DataView> {
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
}
