// Models on disk, and the files of weights that they refer to.

import { access } from 'node:fs/promises';
import { basename, dirname, isAbsolute, relative, resolve } from 'node:path';
import { InferenceError } from '../index.js';
import type { Arguments } from './args.js';

interface External {
  readonly path: string;
  readonly data: string;
}

/**
 * Calls `use` with the files of weights that the model turns out to need: those given with --external, by name, others
 * where the model says, which may only be in its own folder or below.
 */
export async function withExternalData<T>({ file, external }: Arguments, use: (files: readonly External[]) => Promise<T>): Promise<T> {
  const folder = dirname(resolve(file));
  const files: External[] = [];
  for (;;) {
    try {
      return await use(files);
    } catch (error) {
      const missing = error instanceof InferenceError && error.code === 'EXTERNAL_DATA_MISSING' ? error.expected : undefined;
      // The error names all of them. Should that not help, it is not about what is missing.
      const paths = missing?.split(', ').filter((path) => !files.some((known) => known.path === path)) ?? [];
      if (paths.length === 0) throw error;
      for (const path of paths) {
        const given = external.find((name) => basename(name) === basename(path));
        const beside = resolve(folder, path);
        const from = relative(folder, beside);
        const data = given ?? (from.startsWith('..') || isAbsolute(from) ? undefined : beside);
        if (data === undefined || !(await exists(data))) {
          throw new InferenceError('EXTERNAL_DATA_MISSING', `${file} keeps weights in ${path}, which is not there`, {
            expected: path,
            hint: 'Put it beside the model, or name it: --external FILE.',
            cause: error,
          });
        }
        files.push({ path, data });
      }
    }
  }
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
