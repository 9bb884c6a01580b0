// Finds and compiles the wasm modules: the compiler, and the build of the engine that suits the browser. Each is compiled
// once per thread; instances are made per session.

import { isEmbedded } from './embedded.js';
import { describe } from './errors.js';
import { headOf } from './fetching.js';
import { explaining } from './load-more.js';
import { load } from './loader.js';
import type { Emit, Source, WasmName, WasmSources } from './protocol.js';

type File = 'engine' | 'engine-relaxed' | 'engine-threads' | 'engine-relaxed-threads' | 'compiler';

const compiled = new Map<File | WasmName, Promise<WebAssembly.Module>>();

/**
 * The compiled module, from an override or from beside this file.
 *
 * @throws LoadError `WASM_LOAD` or `HTML_RESPONSE`; `UNSUPPORTED_ENVIRONMENT` where there is no WebAssembly SIMD
 */
export function loadModule(name: WasmName, overrides: WasmSources, emit?: Emit): Promise<WebAssembly.Module> {
  const override = overrides[name];
  if (override instanceof WebAssembly.Module) return Promise.resolve(override);
  if (INLINE && isEmbedded(override)) return once(name, () => compile(override, emit));
  if (override && override !== 'awaited') return compile(override, emit);
  if (name === 'compiler') return loadFile(name, emit);
  const kind = name === 'engineThreads' ? '-threads' : '';
  const loadUsual = (): Promise<WebAssembly.Module> => loadFile(`engine${kind}`, emit);
  // Should that file be missing, or not compile after all, the other works everywhere.
  return hasRelaxedSimd() ? loadFile(`engine-relaxed${kind}`, emit).catch(loadUsual) : loadUsual();
}

function loadFile(file: File, emit?: Emit): Promise<WebAssembly.Module> {
  return once(file, () => compile({ file: `${file}.wasm`, url: addressOf(file).href }, emit));
}

function once(file: File | WasmName, load: () => Promise<WebAssembly.Module>): Promise<WebAssembly.Module> {
  let module = compiled.get(file);
  if (!module) {
    module = load();
    compiled.set(file, module);
    // The next session tries again.
    module.catch(() => compiled.delete(file));
  }
  return module;
}

/** Each written out because bundlers only see literal addresses. */
function addressOf(file: File): URL {
  switch (file) {
    case 'engine':
      return new URL('./engine.wasm', import.meta.url);
    case 'engine-relaxed':
      return new URL('./engine-relaxed.wasm', import.meta.url);
    case 'engine-threads':
      return new URL('./engine-threads.wasm', import.meta.url);
    case 'engine-relaxed-threads':
      return new URL('./engine-relaxed-threads.wasm', import.meta.url);
    case 'compiler':
      return new URL('./compiler.wasm', import.meta.url);
  }
}

async function compile(source: Source, emit?: Emit): Promise<WebAssembly.Module> {
  const name = source.url ?? source.file;
  try {
    let from = source;
    // A hash is of the whole file: then it cannot be compiled while it comes in.
    if (source.url !== undefined && !source.body && !source.url.startsWith('file:') && source.integrity === undefined) {
      const response = await fetch(source.url);
      // With the wrong MIME type compileStreaming refuses; with the right one it is the fastest way.
      if (response.ok && /^application\/wasm\b/.test(response.headers.get('content-type') ?? '')) {
        if (emit) follow(response.clone(), source, emit);
        return await WebAssembly.compileStreaming(response);
      }
      from = { ...source, body: response.body ?? new Uint8Array(), head: headOf(response) };
    }
    if (INLINE && isEmbedded(from)) from = { ...from, body: from.body.stream().pipeThrough(new DecompressionStream('gzip')) };
    const bytes = await load(from, { kind: 'wasm', emit });
    if (String.fromCharCode(...bytes.subarray(0, 4)) !== '\0asm') throw (await explaining('WASM_LOAD', `${name} is not a WebAssembly module`)).notWasm(bytes, name);
    return await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  } catch (cause) {
    throw (await explaining('WASM_LOAD', `${name} could not be loaded (${describe(cause)})`)).explain(cause, name, hasSimd());
  }
}

/** Reports on a download that the browser reads by itself. */
function follow(copy: Response, { file }: Source, emit: Emit): void {
  // That it failed is said by the one that compiles.
  load({ file, body: copy.body ?? new Uint8Array(), head: headOf(copy) }, { kind: 'wasm', emit }).catch(() => undefined);
}

/** Whether a function with these instructions, which leave a vector, is valid here. */
function isValid(instructions: readonly number[]): boolean {
  const body = [0, ...instructions, 11];
  // prettier-ignore
  const probe = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, body.length + 2, 1, body.length, ...body];
  return WebAssembly.validate(Uint8Array.from(probe));
}

/** `i8x16.splat`, `i8x16.popcnt` */
const hasSimd = (): boolean => isValid([65, 0, 253, 15, 253, 98]);

/** `i8x16.splat` three times, `i32x4.relaxed_dot_i8x16_i7x16_add_s` */
const hasRelaxedSimd = (): boolean => isValid([65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 147, 2]);
