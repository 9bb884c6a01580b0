// Hands compiled WebAssembly modules from worker to worker: the first session that wants one has its worker compile it,
// those that come later, or at the same time, get the same. By a port of their own: the queue of calls is busy meanwhile.

import { isEmbedded } from './embedded.js';
import type { ModuleMessage, WasmName, WasmSources } from './protocol.js';

const NAMES = ['engine', 'engineThreads', 'compiler'] as const satisfies readonly WasmName[];

/** Modules that are there. */
const ready: Partial<Record<WasmName, WebAssembly.Module>> = {};
/** Modules that a worker compiles, or may compile; undefined comes out when it does not after all. */
const coming = new Map<WasmName, Promise<WebAssembly.Module | undefined>>();

/** What one session gets and gives. */
export interface Share {
  readonly wasm: WasmSources;
  /** To be posted to the worker. */
  readonly line: MessagePort | undefined;
  /** The session is loaded, or is not going to be. */
  readonly end: (loaded: boolean) => void;
}

/** Milliseconds within which a module has come that was posted before the session was. Ports keep no order among them. */
const GRACE = 100;

/**
 * The modules for a session.
 *
 * @param given where the caller says they are
 */
export function shareModules(given: WasmSources, worker: boolean): Share {
  // In the page's own thread wasm.ts sees to it.
  if (!worker) return { wasm: Object.fromEntries(NAMES.map((name) => [name, given[name] ?? ready[name]])), line: undefined, end: () => undefined };
  const { port1, port2 } = new MessageChannel();
  const wasm = { ...given };
  /** Those that this session's worker compiles for the others. */
  const expected = new Map<WasmName, (module: WebAssembly.Module | undefined) => void>();
  const deliver = (name: WasmName, module: WebAssembly.Module | undefined): void => {
    const resolve = expected.get(name);
    if (!resolve) return;
    expected.delete(name);
    coming.delete(name);
    if (module) ready[name] = module;
    resolve(module);
  };
  for (const name of NAMES) {
    const embedded = INLINE && isEmbedded(given[name]);
    if (given[name] && !embedded) continue;
    const other = coming.get(name);
    if (ready[name]) {
      wasm[name] = ready[name];
    } else if (other) {
      // What needs no download is compiled sooner than awaited.
      if (embedded) continue;
      wasm[name] = 'awaited';
      void other.then((module) => {
        post(port1, { name, module });
      });
    } else {
      coming.set(name, new Promise((resolve) => expected.set(name, resolve)));
    }
  }
  port1.onmessage = ({ data: { name, module } }: MessageEvent<ModuleMessage>) => {
    deliver(name, module);
  };
  const close = (): void => {
    for (const name of NAMES) deliver(name, undefined);
    port1.close();
  };
  const end = (loaded: boolean): void => {
    if (loaded && expected.size > 0) setTimeout(close, GRACE);
    else close();
  };
  return { wasm, line: port2, end };
}

/** Says by the line what has become of a module. */
export function post(line: MessagePort, { name, module }: ModuleMessage): void {
  try {
    line.postMessage({ name, module } satisfies ModuleMessage);
  } catch {
    // WebKitGTK cannot post modules: the other side compiles its own.
    line.postMessage({ name, module: undefined } satisfies ModuleMessage);
  }
}

/** Says that this session has no such module, to those that wait for it. */
export function without(line: MessagePort | undefined, name: WasmName): void {
  if (line) post(line, { name, module: undefined });
}

/** The modules that the page gets from other workers, by name; undefined for one that this worker has to compile. */
export function awaitModules(line: MessagePort): Record<WasmName, Promise<WebAssembly.Module | undefined>> {
  const awaitModule = (name: WasmName): Promise<WebAssembly.Module | undefined> =>
    new Promise((resolve) => {
      line.addEventListener('message', ({ data }: MessageEvent<ModuleMessage>) => {
        if (data.name === name) resolve(data.module);
      });
      line.addEventListener('messageerror', () => {
        resolve(undefined);
      });
    });
  const modules = { engine: awaitModule('engine'), engineThreads: awaitModule('engineThreads'), compiler: awaitModule('compiler') };
  line.start();
  return modules;
}
