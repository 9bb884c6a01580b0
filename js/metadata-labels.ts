// Names of the classes that a model file brings along among its custom metadata.

import type { Labels } from './types.js';

/** Entries that may have them: Ultralytics writes `names`, others these. */
const KEYS = ['names', 'labels', 'classes', 'id2label'];

/**
 * The labels in a model's metadata; undefined where there are none. Entries are JSON, or a list or dictionary as Python
 * prints it, from index to name. Nobody has asked for them, so one that is something else, or has another number of names
 * than the model has classes, is no error: it is passed over.
 */
export function metadataLabels(metadata: Readonly<Record<string, string>>, classes: number | undefined): Labels | undefined {
  for (const key of KEYS) {
    const text = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
    const labels = text === undefined ? undefined : parse(text);
    if (labels && (classes === undefined || fits(labels, classes))) return labels;
  }
  return undefined;
}

function fits(labels: Labels, classes: number): boolean {
  return Array.isArray(labels) ? labels.length === classes : Object.keys(labels).every((index) => Number(index) < classes);
}

function parse(text: string): Labels | undefined {
  for (const json of [text, fromPython(text)]) {
    try {
      const names: unknown = JSON.parse(json);
      if (isLabels(names)) return dense(names);
    } catch {
      // The other way, or something else altogether.
    }
  }
  return undefined;
}

function isLabels(names: unknown): names is Labels {
  if (typeof names !== 'object' || names === null) return false;
  const entries = Object.entries(names);
  return entries.length > 0 && entries.every(([index, name]) => /^\d{1,9}$/.test(index) && typeof name === 'string');
}

/** A list, where every index has a name. */
function dense(labels: Labels): Labels {
  const names = Object.values(labels);
  // The keys of an object that are whole numbers are in ascending order.
  return Object.keys(labels).every((index, i) => Number(index) === i) ? names : labels;
}

/** `{0: 'tench', 1: "mother's"}` as JSON. */
function fromPython(text: string): string {
  return text.replace(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|\d+(?=\s*:)/gs, (token, single?: string, double?: string) => {
    const content = single ?? double;
    if (content === undefined) return `"${token}"`;
    const escaped = content.replace(/\\x([\da-f]{2})|\\(.)|"/gis, (found, hex?: string, character?: string) => {
      if (hex !== undefined) return `\\u00${hex}`;
      if (character === "'") return character;
      return found === '"' ? '\\"' : found;
    });
    return `"${escaped}"`;
  });
}
