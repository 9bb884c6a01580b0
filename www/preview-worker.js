// @ts-check
// Decodes a picture and shrinks it for display, away from the page: a photo of 50 megapixels takes long enough to
// stop the page from scrolling.

/**
 * @typedef {{ id: number, blob: Blob, maxSide: number }} PreviewRequest
 * @typedef {{ id: number, bitmap?: ImageBitmap }} PreviewReply   without a bitmap: the browser cannot decode it
 */

self.addEventListener('message', async (/** @type {MessageEvent<PreviewRequest>} */ event) => {
  const { id, blob, maxSide } = event.data;
  /** @type {PreviewReply} */
  let reply = { id };
  try {
    reply = { id, bitmap: await shrink(await createImageBitmap(blob), maxSide) };
  } catch {
    // No reason is passed on: the package decodes the picture too and has the better sentence for it.
  }
  self.postMessage(reply, { transfer: reply.bitmap ? [reply.bitmap] : [] });
});

/**
 * @param {ImageBitmap} full
 * @param {number} maxSide
 */
async function shrink(full, maxSide) {
  const scale = maxSide / Math.max(full.width, full.height);
  if (scale >= 1) return full;
  const small = await createImageBitmap(full, {
    resizeWidth: Math.max(1, Math.round(full.width * scale)),
    resizeHeight: Math.max(1, Math.round(full.height * scale)),
    resizeQuality: 'medium',
  });
  full.close();
  return small;
}

export {}; // has nothing to give: this tells the type checker that the file is a module
