// What is loaded for a session beside the model: modules, card, labels, and the cache that downloads go through.

import { openCached } from './cached.js';
import { type CardParts, parseLabels, readCard } from './card.js';
import { load, type LoadOptions, type Via } from './loader.js';
import { awaitModules, post } from './modules.js';
import type { ClassifierSpec, Emit, OpenRequest, Source, WasmName } from './protocol.js';
import type { Labels } from './types.js';
import { loadModule } from './wasm.js';

/** Gives a module, loading it once. */
export type Start = (name: WasmName) => Promise<WebAssembly.Module>;

/** A card, taken apart. */
export async function loadCard(source: Source, options: LoadOptions): Promise<CardParts> {
  return readCard(await load(source, { ...options, kind: 'card' }), source);
}

/** The names of the classes from a list, an object, or a JSON file of either. */
export async function loadLabels(labels: ClassifierSpec['labels'], options: LoadOptions): Promise<Labels | undefined> {
  if (!labels || !('file' in labels)) return labels;
  return parseLabels(await load(labels, { ...options, kind: 'labels' }), labels);
}

/** Loads modules when they are asked for, each once; hands them on to other sessions. */
export function startModules({ line, wasm }: OpenRequest, emit: Emit | undefined): Start {
  const awaited = line && awaitModules(line);
  const acquire = async (name: WasmName): Promise<WebAssembly.Module> => {
    const given = wasm[name] === 'awaited' ? await awaited?.[name] : undefined;
    if (given) return given;
    const module = await loadModule(name, wasm, emit);
    if (line) post(line, { name, module });
    return module;
  };
  const loading: Partial<Record<WasmName, Promise<WebAssembly.Module>>> = {};
  return (name) => {
    const module = (loading[name] ??= acquire(name));
    // Awaited later; until then a failure is not unhandled.
    module.catch(() => undefined);
    return module;
  };
}

/** The way downloads take. */
export function viaCache(cache: OpenRequest['cache']): Via | undefined {
  if (cache === false) return undefined;
  const opening = openCached(cache);
  // Awaited later; until then a failure is not unhandled.
  opening.catch(() => undefined);
  return async (source, options) => (await opening)(source, options);
}
