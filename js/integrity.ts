// Hashes of files.

import { problem } from './load-more.js';

/** Whether hashes can be computed: browsers do so in secure contexts only. */
export function canVerify(): boolean {
  return (globalThis.crypto as Crypto | undefined)?.subtle !== undefined;
}

/**
 * Holds bytes against a hash.
 *
 * @throws LoadError `INTEGRITY`; InputError `INVALID_OPTION` when the hash is none; `UNSUPPORTED_ENVIRONMENT`
 */
export async function verify(bytes: Uint8Array, file: string, integrity: string): Promise<void> {
  const [, bits, expected] = /^sha(256|384|512)-([A-Za-z0-9+/]+=*)$/.exec(integrity.trim()) ?? [];
  if (bits === undefined || expected === undefined) throw await problem('INVALID_OPTION', 'unknownHash', integrity);
  if (!canVerify()) throw await problem('UNSUPPORTED_ENVIRONMENT', 'insecure');
  const digest = new Uint8Array(await crypto.subtle.digest(`SHA-${bits}`, bytes as Uint8Array<ArrayBuffer>));
  const actual = btoa(String.fromCharCode(...digest));
  if (actual !== expected) throw await problem('INTEGRITY', 'otherFile', file, integrity, `sha${bits}-${actual}`);
}
