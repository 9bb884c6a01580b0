// Finds and compiles the wasm modules: the compiler, and the build of the engine that suits the browser. Each is compiled
// once per thread; instances are made per session.

import { describe, InferenceError, toObject } from './errors.js';
import { headOf, load } from './loader.js';
import type { Source } from './protocol.js';

const HINT =
  'Serve the .wasm files of the package next to its JavaScript, or say where they are: ' +
  "{ wasm: { engine: url, compiler: url } }. With Vite, add optimizeDeps: { exclude: ['tractlet'] }.";

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** The files of the engine, the best first; `relaxed`: there is relaxed SIMD. Each is written out because bundlers only see literal addresses. */
export function engineFiles(relaxed: boolean): URL[] {
  const everywhere = new URL('./engine.wasm', import.meta.url);
  return relaxed ? [new URL('./engine-relaxed.wasm', import.meta.url), everywhere] : [everywhere];
}

/** The file of the compiler. */
export function compilerFiles(): URL[] {
  return [new URL('./compiler.wasm', import.meta.url)];
}

/**
 * The compiled module, from an override or from the first of the files that can be used.
 *
 * @throws LoadError `WASM_LOAD` or `HTML_RESPONSE`; `UNSUPPORTED_ENVIRONMENT` where there is no WebAssembly SIMD
 */
export function loadModule(override: Source | WebAssembly.Module | undefined, files: (relaxed: boolean) => URL[]): Promise<WebAssembly.Module> {
  if (override) return override instanceof WebAssembly.Module ? Promise.resolve(override) : compile(override);
  const [first, ...others] = files(hasRelaxedSimd()).map(({ href }) => () => loadFile(href));
  // Should a file be missing, or not compile after all, the next works in more places.
  return others.reduce((module, next) => module.catch(next), (first as () => Promise<WebAssembly.Module>)());
}

function loadFile(url: string): Promise<WebAssembly.Module> {
  let module = compiled.get(url);
  if (!module) {
    module = compile({ file: url.slice(url.lastIndexOf('/') + 1), url });
    compiled.set(url, module);
    // The next session tries again.
    module.catch(() => compiled.delete(url));
  }
  return module;
}

async function compile(source: Source): Promise<WebAssembly.Module> {
  try {
    let from = source;
    if (source.url !== undefined && !source.body && !source.url.startsWith('file:')) {
      const response = await fetch(source.url);
      // With the wrong MIME type compileStreaming refuses; with the right one it is the fastest way.
      if (response.ok && /^application\/wasm\b/.test(response.headers.get('content-type') ?? '')) {
        return await WebAssembly.compileStreaming(response);
      }
      from = { ...source, body: response.body ?? new Uint8Array(), head: headOf(response) };
    }
    const bytes = await load(from);
    if (bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) {
      throw new InferenceError('WASM_LOAD', `${source.url ?? source.file} is not a WebAssembly module`, {
        expected: '00 61 73 6d',
        actual: Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' '),
      });
    }
    return await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  } catch (cause) {
    throw explain(cause, source.url ?? source.file);
  }
}

function explain(cause: unknown, name: string): InferenceError {
  if (cause instanceof InferenceError) {
    const code = cause.code === 'HTML_RESPONSE' ? cause.code : 'WASM_LOAD';
    return new InferenceError(code, cause.message, { ...toObject(cause), hint: HINT, cause });
  }
  const message = describe(cause);
  if (cause instanceof WebAssembly.CompileError && !hasSimd()) {
    return new InferenceError('UNSUPPORTED_ENVIRONMENT', 'This browser has no WebAssembly SIMD', {
      hint: 'Chrome 91, Firefox 89 and Safari 16.4 are the first that have it.',
      cause,
    });
  }
  const blocked = /unsafe-eval|security|policy|csp|disallowed|blocked/i.test(message);
  return new InferenceError('WASM_LOAD', `${name} could not be ${blocked ? 'compiled' : 'loaded'} (${message})`, {
    hint: blocked ? "The Content-Security-Policy must have script-src 'wasm-unsafe-eval'." : HINT,
    cause,
  });
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
