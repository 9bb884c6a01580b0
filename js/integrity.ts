// Hashes of files.

import { InferenceError } from './errors.js';

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
  if (bits === undefined || expected === undefined) {
    throw new InferenceError('INVALID_OPTION', `The integrity ${JSON.stringify(integrity)} is not understood`, {
      expected: 'sha256-<base64>',
      actual: integrity,
      hint: 'Write sha256-, sha384- or sha512- and the hash in base64, as in the integrity attribute of HTML.',
    });
  }
  if (!canVerify()) {
    throw new InferenceError('UNSUPPORTED_ENVIRONMENT', 'Integrity can only be checked in a secure context', {
      hint: 'Serve the page over https (or from localhost), or leave integrity out.',
    });
  }
  const digest = new Uint8Array(await crypto.subtle.digest(`SHA-${bits}`, bytes as Uint8Array<ArrayBuffer>));
  const actual = btoa(String.fromCharCode(...digest));
  if (actual !== expected) {
    throw new InferenceError('INTEGRITY', `${file} is not the file that was expected`, {
      expected: integrity,
      actual: `sha${bits}-${actual}`,
      hint: 'It was changed, or damaged on the way: download it again, or correct the hash.',
    });
  }
}
