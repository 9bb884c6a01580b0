// The package as it would be published: packed, and installed into copies of the examples outside of this tree, where
// nothing of its node_modules can be found.
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../paths.mjs';

/** What the examples look at, and with. */
const ASSETS = ['models/squeezenet1.1-int8.json', 'models/squeezenet1.1-int8.onnx', 'models/imagenet-labels.json', 'www/photos/coffee.jpg'];

const FROM_CACHE = ['--no-audit', '--no-fund', '--prefer-offline', '--no-package-lock'];

/** Packs the package into `folder`; gives the path of the tarball. */
export async function pack(exec, folder) {
  const output = await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT });
  const [{ filename }] = JSON.parse(output.slice(output.indexOf('[')));
  return join(folder, filename);
}

/**
 * A copy of an example that is ready to be built.
 *
 * @param options.assets the folder of the example that model and photo belong in
 * @param options.scripts true if a dependency has to run an install script
 * @returns the path of the copy
 */
export async function prepare(exec, { name, tarball, folder, assets, scripts = false }) {
  const to = join(folder, name);
  await cp(join(ROOT, 'examples', name), to, { recursive: true });
  const file = join(to, 'package.json');
  const manifest = JSON.parse(await readFile(file, 'utf8'));
  if (!manifest.dependencies?.tractlet) throw new Error(`examples/${name} does not depend on tractlet`);
  manifest.dependencies.tractlet = `file:${tarball}`;
  await writeFile(file, JSON.stringify(manifest, null, 2));
  await mkdir(join(to, assets), { recursive: true });
  for (const asset of ASSETS) await cp(join(ROOT, asset), join(to, assets, asset.split('/').at(-1)));
  await exec('npm', ['install', ...FROM_CACHE, ...(scripts ? [] : ['--ignore-scripts'])], { cwd: to, timeoutSeconds: 300 });
  return to;
}
