// `npm run docs`: writes docs/reference from the declarations. tests/js/reference.test.mjs fails when it is out of date.
import { join } from 'node:path';
import { ROOT } from './lib/paths.mjs';
import { readReference, undocumented, writeReference } from './lib/reference.mjs';
import { Stop, main } from './lib/run.mjs';

await main(import.meta.url, async () => {
  const reference = await readReference();
  const missing = undocumented(reference);
  if (missing.length > 0) throw new Stop(`without a comment: ${missing.join(', ')}`);
  await writeReference(reference, join(ROOT, 'docs/reference'));
  if (reference.app.logger.hasErrors() || reference.app.logger.hasWarnings()) throw new Stop('TypeDoc complains, see above');
});
