// One library with one session. Every measured moment is in this file, and the same for all libraries. It runs as a module
// worker or as a classic one, hence without import statements.

let peer;
let session;
let feeds;

/** Memories of WebAssembly modules: libraries export theirs or bring them along. */
const memories = new Set();

function watchMemories() {
  const { Memory, instantiate, instantiateStreaming, Instance } = WebAssembly;
  const noteInstance = (instance) => {
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) memories.add(value);
    return instance;
  };
  const noteResult = (result) => {
    noteInstance(result.instance ?? result);
    return result;
  };
  WebAssembly.Memory = new Proxy(Memory, { construct: (target, args) => {
    const memory = new target(...args);
    memories.add(memory);
    return memory;
  } });
  WebAssembly.Instance = new Proxy(Instance, { construct: (target, args) => noteInstance(new target(...args)) });
  WebAssembly.instantiate = (...args) => instantiate.apply(WebAssembly, args).then(noteResult);
  WebAssembly.instantiateStreaming = (...args) => instantiateStreaming.apply(WebAssembly, args).then(noteResult);
}
watchMemories();

async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Bytes are not kept: one session may have taken them away. */
async function makeFeeds(url) {
  const { readTensor } = await import('/tests/js/lib/tensor-proto.mjs');
  const { type, data, dims } = readTensor(await fetchBytes(url));
  if (type !== 'float32' || data.length !== dims.reduce((product, size) => product * size, 1)) {
    throw new Error(`${url} holds no float32 tensor in raw form`);
  }
  return session.makeInput(data, dims);
}

const methods = {
  /** From nothing to the first result. The model is here already; library and wasm are downloaded from this machine. */
  async open({ peer: peerUrl, base, model, input }) {
    peer = await import(peerUrl);
    const bytes = await fetchBytes(model.url);
    const start = performance.now();
    const library = await peer.load(base);
    const loaded = performance.now();
    session = await peer.open(library, bytes, model);
    const created = performance.now();
    feeds = await makeFeeds(input);
    const before = performance.now();
    await session.run(feeds);
    const first = performance.now() - before;
    return { load: loaded - start, create: created - start, first, about: session.about() };
  },

  /** What the library has downloaded. */
  downloads({ base }) {
    const names = performance.getEntriesByType('resource').map(({ name }) => name);
    return [...new Set(names.filter((name) => name.startsWith(base)).map((name) => name.slice(base.length)))].sort();
  },

  /** Bytes of WebAssembly memory. */
  memory: () => [...memories].reduce((sum, { buffer }) => sum + buffer.byteLength, 0),

  /** The scores of each input. */
  async scores({ inputs }) {
    const all = [];
    for (const url of inputs) all.push(Float32Array.from(session.output(await session.run(await makeFeeds(url)))));
    return all;
  },

  async warmUp({ runs, milliseconds }) {
    const start = performance.now();
    for (let i = 0; i < runs || performance.now() - start < milliseconds; i += 1) await session.run(feeds);
  },

  /**
   * The times of some runs, fewer if they take longer than `milliseconds`. One more goes first: the other library has had
   * the processor's caches.
   */
  async turn({ runs, milliseconds }) {
    const times = [];
    await session.run(feeds);
    const end = performance.now() + milliseconds;
    for (let i = 0; i < runs && (i === 0 || performance.now() < end); i += 1) {
      const start = performance.now();
      await session.run(feeds);
      times.push(performance.now() - start);
    }
    return times;
  },
};

globalThis.addEventListener('message', async ({ data: { method, request } }) => {
  try {
    globalThis.postMessage({ result: await methods[method](request) });
  } catch (error) {
    // Some libraries throw numbers.
    globalThis.postMessage({ error: String(error?.message ?? error) });
  }
});
globalThis.postMessage({ result: 'ready' });
