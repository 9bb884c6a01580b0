// From navigation to the first label, as a page would do it: everything that can be fetched is asked for at once. What is
// different from library to library is in ../peers.

const { peer: peerUrl, base, model, photo, labels } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
/** Side of the input, share of the photo's shorter side that is taken, mean and standard deviation of a channel. */
const [SIZE, RATIO, MEAN, STD] = [224, 0.875, 127, 128];

const get = async (url) => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
};

/** The same for all: [1, 3, 224, 224]. */
async function readPhoto() {
  const bitmap = await createImageBitmap(await (await get(photo)).blob());
  const side = Math.min(bitmap.width, bitmap.height) * RATIO;
  const context = new OffscreenCanvas(SIZE, SIZE).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIZE, SIZE);
  const { data } = context.getImageData(0, 0, SIZE, SIZE);
  const planes = new Float32Array(3 * SIZE * SIZE);
  for (let i = 0; i < SIZE * SIZE; i += 1) for (let c = 0; c < 3; c += 1) planes[c * SIZE * SIZE + i] = (data[4 * i + c] - MEAN) / STD;
  return planes;
}

async function openSession() {
  const peer = await import(peerUrl);
  if (peer.name !== 'tractlet') {
    const bytes = get(model.url).then((response) => response.arrayBuffer());
    bytes.catch(() => undefined);
    const library = await peer.load(base);
    return peer.open(library, new Uint8Array(await bytes), model);
  }
  // By default it works in a worker of its own, which downloads the model.
  const { library } = await peer.load(base);
  return peer.open({ library, options: { worker: true } }, model.url, model);
}

async function run() {
  const [session, pixels, names] = await Promise.all([openSession(), readPhoto(), get(labels).then((response) => response.json())]);
  const scores = session.output(await session.run(session.makeInput(pixels, [1, 3, SIZE, SIZE])));
  let best = 0;
  for (let i = 1; i < scores.length; i += 1) if (scores[i] > scores[best]) best = i;
  document.body.textContent = names[best];
  return { label: names[best], milliseconds: performance.now() };
}

globalThis.result = run().catch((error) => ({ error: String(error?.message ?? error) }));
