// What www/bench.html has to know of the libraries and models that are served with it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/lib/paths.mjs';

export const PAGE_FOLDER = '.cache/bench-page';

/** On a page of one's own nobody waits for all photos. */
const PHOTOS = 4;

/** Writes bench.json: { peers, models }, with paths from the top of the server. */
export function makePageData(peers, models) {
  const formats = new Set(peers.map(({ format }) => format));
  const floats = new Map(models.filter(({ format }) => format === 'fp32').map(({ net, files }) => [net, files]));
  const data = {
    peers: peers.map(({ name, version, path, folder, worker, format, threaded = false }) => ({ name, version, path, folder, worker, format, threaded })),
    models: models.filter(({ sameNumbers }) => sameNumbers).map(({ name, title, net, format, files, inputName, outputName, quantum, photos }) => ({
      name, title, net, format, inputName, outputName, quantum,
      files: Object.fromEntries(Object.entries(files).filter(([kind]) => formats.has(kind))),
      // For libraries that read no quantized form of it: the float form of the same net.
      ...(format !== 'fp32' && floats.get(net)?.tfjs ? { floatFiles: { tfjs: floats.get(net).tfjs } } : {}),
      photos: photos.slice(0, PHOTOS).map(({ input, label }) => ({ input, label })),
    })),
  };
  mkdirSync(join(ROOT, PAGE_FOLDER), { recursive: true });
  writeFileSync(join(ROOT, PAGE_FOLDER, 'bench.json'), `${JSON.stringify(data, null, 1)}\n`);
}
