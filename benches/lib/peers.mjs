// The libraries that are compared.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { DIST, ROOT } from '../../scripts/lib/paths.mjs';
import { Stop } from '../../scripts/lib/run.mjs';
import { inputKey, isFresh, removeStamp, writeStamp } from '../../scripts/lib/stamps.mjs';

const SELF = fileURLToPath(import.meta.url);

/** The usual ones, ours first. Where there is but one engine build, forcing it is no other library. */
export function usualPeers() {
  const forced = existsSync(join(DIST, 'engine-relaxed.wasm')) ? ['tractlet-simd128'] : [];
  return ['tractlet', ...forced, 'onnxruntime-web', 'litert', 'litert-compat', 'tfjs'];
}

/** The threaded builds of LiteRT.js and TensorFlow.js are not among them: in the bench's worker they never finished loading. */
const THREADED = ['tractlet-threads', 'onnxruntime-web-threads'];

/** Those of the benchmark page: the usual ones, and those with several threads. */
export const pagePeers = () => [...usualPeers(), ...THREADED.filter((name) => existsSync(join(ROOT, `benches/peers/${name}.mjs`)))];

/** Makes the folder of a library that pages cannot use as it is installed. */
async function makeBundle({ folder, packageFile, bundle: { entry, source, copied } }) {
  const target = join(ROOT, folder);
  const copies = copied.map((file) => join(ROOT, file));
  const outputs = ['index.js', ...copied.map((file) => basename(file))].map((name) => join(target, name));
  const stamp = folder.replaceAll('/', '-').replace(/^\./, '');
  const key = inputKey([join(ROOT, packageFile), ...(entry ? [join(ROOT, entry)] : []), ...copies, SELF], { source });
  if (isFresh(stamp, key, outputs)) return;
  removeStamp(stamp);
  mkdirSync(target, { recursive: true });
  const { build } = await import('esbuild');
  const input = entry ? { entryPoints: [join(ROOT, entry)] } : { stdin: { contents: source, resolveDir: ROOT } };
  await build({ ...input, outfile: outputs[0], bundle: true, minify: true, format: 'esm', target: 'es2022', logLevel: 'warning' });
  for (const [i, file] of copies.entries()) copyFileSync(file, outputs[i + 1]);
  writeStamp(stamp, key);
}

export async function loadPeers(names) {
  const peers = [];
  for (const name of names) {
    const path = `benches/peers/${name}.mjs`;
    if (!/^[\w.-]+$/.test(name) || !existsSync(join(ROOT, path))) throw new Stop(`there is no library '${name}' in benches/peers`);
    const peer = await import(pathToFileURL(join(ROOT, path)));
    if (!existsSync(join(ROOT, peer.packageFile))) throw new Stop(`${peer.packageFile} does not exist; 'npm ci' makes node_modules`);
    if (peer.bundle) await makeBundle(peer);
    if (!existsSync(join(ROOT, peer.folder))) throw new Stop(`${peer.folder} does not exist; 'npm run build' makes dist`);
    const { version } = JSON.parse(readFileSync(join(ROOT, peer.packageFile), 'utf8'));
    peers.push({ ...peer, path, version });
  }
  return peers;
}
