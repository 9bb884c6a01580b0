// The command line, as it is published, with the real wasm modules.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { buildModule } from './lib/bundle.mjs';
import { cli } from './lib/cli.mjs';
import { difference, readTensor } from './lib/tensor-proto.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const OPERATORS = join(root, '.cache/fixtures/operators');
const MODEL = join(root, 'models/efficientnet-lite0-int8.onnx');
const CARD = join(root, 'models/efficientnet-lite0-int8.json');
const PHOTO = join(root, '.cache/fixtures/photos/foolbox-10.png');
const { InferenceSession, Tensor } = await import(new URL('../../dist/index.js', import.meta.url).href);

const folder = await mkdtemp(join(tmpdir(), 'tractlet-cli-'));
after(() => rm(folder, { recursive: true, force: true }));

/** Runs what has to succeed. */
async function succeeds(args, options) {
  const result = await cli(args, options);
  assert.equal(result.code, 0, `${args.join(' ')}\n${result.stderr}`);
  return result;
}

/** Runs what has to fail; gives its one line of error. */
async function fails(args, code, options) {
  const result = await cli([...args, '--quiet'], options);
  assert.equal(result.code, code, `${args.join(' ')}\n${result.stdout}${result.stderr}`);
  assert.equal(result.stdout, '');
  const lines = result.stderr.trimEnd().split('\n');
  assert.match(lines[0], /^tractlet: /);
  // Wrong usage says where the options are listed.
  assert.equal(lines.length, code === 2 ? 2 : 1, result.stderr);
  return lines[0];
}

async function fixture(path, sample = 0) {
  const read = async (file) => readTensor(await readFile(join(OPERATORS, path, `sample_${sample}`, file)));
  const { name, type, data, dims } = await read('input_0.pb');
  return { model: join(OPERATORS, path, 'model.onnx'), feeds: { [name]: new Tensor(type, data, dims) }, want: await read('output_0.pb'), input: name, dims };
}

describe('usage', () => {
  test('help and version', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    for (const option of ['--version', '-v']) assert.equal((await succeeds([option])).stdout.trim(), version);
    for (const args of [['--help'], ['-h'], ['compile', '--help']]) assert.match((await succeeds(args)).stdout, /tractlet compile MODEL\.onnx/);
  });

  test('wrong usage is said in one line, and is exit code 2', async () => {
    for (const [args, message] of [
      [[], /a command is missing/],
      [['train', 'x.onnx'], /no command "train"/],
      [['toString', 'x.onnx'], /no command "toString"/],
      [['compile'], /needs a file/],
      [['compile', 'a.onnx', 'b.onnx'], /one file/],
      [['compile', 'a.onnx', '--json'], /takes no --json/],
      [['compile', 'a.onnx', '--frobnicate'], /--frobnicate/],
      [['compile', 'a.onnx', '-o', 'a.onnx'], /replace the model/],
      [['compile', 'a.onnx', '--shape', 'x=1,a'], /"a" is not a whole number/],
      [['compile', 'a.onnx', '--shape', 'x=1,-2'], /"-2" is not a whole number/],
      [['compile', 'a.onnx', '--shape', '=1,2'], /name of the input is missing/],
      [['compile', 'a.onnx', '--shape', 'x=1; x=2'], /twice/],
      [['compile', 'a.onnx', '--shape', 'x=1; 2'], /each needs its name/],
      [['compile', 'a.onnx', '--shape', ' '], /needs a shape/],
      [['compile', 'a.onnx', '--dim', 'batch'], /not NAME=SIZE/],
      [['run', 'a.json'], /needs a picture/],
      [['run', 'a.json', '--image', 'x.png', '--top', '0'], /above 0/],
      [['run', MODEL, '--image', PHOTO], /--card .*efficientnet-lite0-int8\.json/],
      [['run', CARD, '--image', PHOTO, '--card', CARD], /is a card already/],
    ]) {
      assert.match(await fails(args, 2), message);
    }
  });

  test('files that are missing or wrong are said in one line, and are exit code 1', async () => {
    const text = join(folder, 'text.onnx');
    await writeFile(text, 'This is no model.');
    assert.match(await fails(['compile', text], 1), /\[NOT_ONNX\]$/);
    assert.match(await fails(['inspect', join(folder, 'absent.onnx')], 1), /absent\.onnx could not be read .*\[NETWORK_ERROR\]$/);
    assert.match(await fails(['run', CARD, '--image', text], 1), /neither a JPEG nor a PNG.*\[IMAGE_DECODE\]$/);
    assert.match(await fails(['run', CARD, '--image', join(folder, 'absent.png')], 1), /cannot be read.*\[IMAGE_DECODE\]$/);
    assert.match(await fails(['run', MODEL, '--card', text, '--image', PHOTO], 1), /cannot be read.*\[INVALID_CARD\]$/);
    assert.match(await fails(['compile', MODEL, '-o', join(folder, 'no/such/folder.plan')], 1), /cannot be written/);
    const damaged = join(folder, 'damaged.png');
    await writeFile(damaged, (await readFile(PHOTO)).subarray(0, 20_000));
    assert.match(await fails(['run', CARD, '--image', damaged], 1), /cannot be decoded.*\[IMAGE_DECODE\]$/);
    const huge = (await readFile(PHOTO)).subarray(0, 100);
    huge.writeUInt32BE(20_000, 16);
    huge.writeUInt32BE(20_000, 20);
    await writeFile(damaged, huge);
    assert.match(await fails(['run', CARD, '--image', damaged], 1), /\[IMAGE_TOO_LARGE\]$/);
  });
});

describe('a classifier', () => {
  const plan = join(folder, 'lite0.plan');

  test('is compiled, and the plan runs without the compiler', async () => {
    await succeeds(['compile', MODEL, '-o', plan]);
    assert.equal((await readdir(folder)).filter((name) => name.endsWith('.partial')).length, 0);
    const alone = join(folder, 'package/dist');
    await mkdir(alone, { recursive: true });
    for (const name of await readdir(join(root, 'dist'))) {
      if (/\.(js|wasm)$/.test(name) && name !== 'compiler.wasm') await cp(join(root, 'dist', name), join(alone, name));
    }
    await writeFile(join(folder, 'package/package.json'), '{ "type": "module" }');
    const program = join(alone, 'cli.js');
    const args = ['--image', PHOTO, '--top', '3', '--json', '--quiet'];
    const want = JSON.parse((await succeeds(['run', CARD, ...args])).stdout).classes;
    const got = JSON.parse((await succeeds(['run', plan, '--card', CARD, ...args], { program })).stdout).classes;
    assert.equal(want.length, 3);
    assert.deepEqual(got, want);
    assert.match(await fails(['run', CARD, '--image', PHOTO], 1, { program }), /compiler\.wasm.*\[WASM_LOAD\]$/);

    // A card may name a plan.
    const card = { ...JSON.parse(await readFile(CARD, 'utf8')), model: 'lite0.plan', labels: join(root, 'models/imagenet-labels.json') };
    delete card.sha256;
    delete card.bytes;
    const file = join(folder, 'card.json');
    await writeFile(file, JSON.stringify({ ...card, labels: new URL('../../models/imagenet-labels.json', import.meta.url).href }));
    assert.deepEqual(JSON.parse((await succeeds(['run', file, ...args], { program })).stdout).classes, want);
  });

  test('gives the class that onnxruntime gives', async () => {
    const models = JSON.parse(await readFile(join(root, '.cache/fixtures/models/index.json'), 'utf8'));
    const { photos } = models.find(({ card }) => card && CARD.endsWith(card));
    const labels = JSON.parse(await readFile(join(root, 'models/imagenet-labels.json'), 'utf8'));
    for (const { photo, top5 } of photos.slice(0, 3)) {
      const { stdout, stderr } = await succeeds(['run', CARD, '--image', join(root, '.cache/fixtures/photos', photo)]);
      const lines = stdout.trimEnd().split('\n');
      assert.equal(lines.length, 5);
      assert.match(lines[0], new RegExp(`^ +0\\.\\d{4} {2}.* \\(${top5[0]}\\)$`));
      assert.ok(lines[0].includes(labels[top5[0]]), lines[0]);
      assert.match(stderr, /compiling efficientnet-lite0-int8\.onnx/);
    }
  });

  test('JPEG files work too, turned as cameras say', async () => {
    const { data, width, height } = PNG.sync.read(await readFile(PHOTO));
    const upright = join(folder, 'photo.jpg');
    const lying = join(folder, 'lying.jpg');
    // Turned to the left; EXIF says that it is to be turned to the right.
    const turned = Buffer.alloc(data.length);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.copy(turned, 4 * ((width - 1 - x) * height + y), 4 * (y * width + x), 4 * (y * width + x) + 4);
    const exif = Buffer.from('ffe1002245786966000049492a00080000000100120103000100000006000000000000', 'hex');
    const encode = (pixels, w, h) => jpeg.encode({ data: pixels, width: w, height: h }, 95).data;
    await writeFile(upright, encode(data, width, height));
    const body = encode(turned, height, width);
    await writeFile(lying, Buffer.concat([body.subarray(0, 2), exif, body.subarray(2)]));
    const best = async (image) => JSON.parse((await succeeds(['run', CARD, '--image', image, '--json', '--top', '1'])).stdout).classes[0];
    const [want, a, b] = [await best(PHOTO), await best(upright), await best(lying)];
    assert.equal(a.index, want.index);
    assert.equal(b.index, want.index);
    assert.ok(Math.abs(a.score - b.score) < 0.1 && Math.abs(a.score - want.score) < 0.1, `${want.score}, ${a.score}, ${b.score}`);
  });

  test('is looked into', async () => {
    for (const [file, format] of [[MODEL, 'onnx'], [plan, 'plan']]) {
      const found = JSON.parse((await succeeds(['inspect', file, '--json', '--quiet'])).stdout);
      assert.equal(found.format, format);
      assert.deepEqual(found.inputs.map(({ shape }) => shape), [[1, 3, 224, 224]]);
      assert.equal(found.variants.length, 1);
      const [{ steps, macs, arenaBytes, fallbacks }] = found.variants;
      // What is published of EfficientNet-Lite0: 407 million products, of which the input's padding takes some away.
      assert.ok(macs > 3.7e8 && macs < 4.1e8, String(macs));
      assert.ok(steps.length > 50 && steps.every(({ kernel }) => kernel && kernel !== 'tract'));
      assert.ok(arenaBytes > 1e6 && found.weightBytes > 4e6 && found.bytes > 4e6);
      assert.deepEqual(fallbacks, []);
    }
    const { stdout } = await succeeds(['inspect', plan]);
    assert.match(stdout, /lite0\.plan: plan, [\d.]+ MB/);
    assert.match(stdout, /input {5}input: float32 \[1, 3, 224, 224\]/);
    assert.match(stdout, /depthwise conv/);
    assert.match(stdout, /The engine runs all of it\./);
  });

  test('a plan is not compiled again', async () => {
    assert.match(await fails(['compile', plan, '-o', join(folder, 'other.plan')], 1), /is a plan already/);
  });
});

describe('shapes', () => {
  test('several in one plan', async () => {
    const samples = await Promise.all([0, 1, 2].map((k) => fixture('symbolic/batch_u8s8_channel', k)));
    const [{ model, input }] = samples;
    const plan = join(folder, 'several.plan');
    const sets = [...new Set(samples.map(({ dims }) => String(dims)))];
    assert.ok(sets.length > 1, 'the samples differ in shape');
    const { stderr } = await succeeds(['compile', model, '-o', plan, ...sets.flatMap((dims, i) => ['--shape', i === 0 ? dims : `${input}=${dims}`])]);
    assert.match(stderr, new RegExp(`${sets.length} sets of input shapes`));
    const session = await InferenceSession.create(plan);
    assert.equal(session.runtime.compiler, false);
    assert.equal(typeof session.inputMetadata[0].shape[0], 'string');
    for (const { feeds, want } of [...samples, ...samples]) {
      const [got] = Object.values(await session.run(feeds));
      assert.equal(difference(got, want, { kind: 'exact' }), undefined);
    }
    const [batch, ...rest] = samples[0].dims;
    const { type, data } = samples[0].feeds[input];
    const other = new Tensor(type, new data.constructor(7 * data.length), [7 * batch, ...rest]);
    await assert.rejects(session.run({ [input]: other }), (error) => {
      assert.equal(error.code, 'INPUT_SHAPE');
      for (const dims of sets) assert.ok(error.message.includes(`[${dims.replaceAll(',', ', ')}]`), error.message);
      assert.match(error.hint, /--shape/);
      return true;
    });
    await session.run(samples[0].feeds);
    await session.release();
    const found = JSON.parse((await succeeds(['inspect', plan, '--json'])).stdout);
    assert.deepEqual(found.variants.map(({ inputs }) => String(inputs[input])).sort(), [...sets].sort());
  });

  test('sizes that are open must be given', async () => {
    const { model, dims } = await fixture('symbolic/batch_u8s8_channel');
    const output = ['-o', join(folder, 'open.plan')];
    assert.match(await fails(['compile', model, ...output], 1), /leaves sizes of its inputs open: .*--dim batch=1.*\[MISSING_INPUT\]$/);
    assert.match(await fails(['compile', model, ...output, '--shape', 'nothing=1,2'], 1), /no input called "nothing".*\[UNKNOWN_INPUT\]$/);
    assert.match(await fails(['compile', model, ...output, '--shape', '1,2'], 1), /cannot be \[1, 2\].*\[INPUT_SHAPE\]$/);
    const nine = Array.from({ length: 9 }, (_, i) => ['--shape', [i + 1, ...dims.slice(1)].join(',')]);
    assert.match(await fails(['compile', model, ...output, ...nine.flat()], 1), /at most 8.*\[INVALID_OPTION\]$/);
    assert.match((await succeeds(['inspect', model])).stdout, /Its input sizes are open: --shape/);
    const name = JSON.parse((await succeeds(['inspect', model, '--json'])).stdout).inputs[0].shape.find((size) => typeof size === 'string');
    await succeeds(['compile', model, ...output, '--dim', `${name}=3`]);
    const session = await InferenceSession.create(output[1]);
    assert.ok(session.inputMetadata[0].shape.includes(3));
    await session.release();
  });

  test('what follows is worked out', async () => {
    const { resolveShapes } = await buildModule('shapes.ts');
    const value = (name, ...shape) => ({ name, shape, type: 'int64' });
    const info = { inputs: [value('ids', 'batch', 'sequence'), value('mask', 'batch', 'sequence'), value('fixed', 1, 4), value('loose', '?', 2)] };
    const shapes = { ids: [1, 8], loose: [3, 2] };
    assert.deepEqual(resolveShapes(info, [shapes]), [[[1, 8], [1, 8], [1, 4], [3, 2]]]);
    assert.deepEqual(resolveShapes(info, [shapes, { ...shapes, mask: [1, 8] }, { ...shapes, ids: [2, 8] }]).length, 2);
    assert.throws(() => resolveShapes(info, [{ ...shapes, mask: [1, 9] }]), { code: 'INPUT_SHAPE' });
    assert.throws(() => resolveShapes(info, [{ ids: [1, 8] }]), { code: 'MISSING_INPUT', input: 'loose' });
    assert.throws(() => resolveShapes(info, [{ loose: [1, 2] }]), { code: 'MISSING_INPUT', input: 'ids' });
    assert.throws(() => resolveShapes(info, [{ ...shapes, fixed: [2, 4] }]), { code: 'INPUT_SHAPE' });
    assert.deepEqual(resolveShapes(info, []), []);
    assert.deepEqual(resolveShapes({ inputs: [value('fixed', 1, 4)] }, []), [[[1, 4]]]);
  });
});

describe('what has no steps', () => {
  test('is listed with its reason, and cannot be saved', async () => {
    const file = join(OPERATORS, 'interface/if_fed/model.onnx');
    const report = (await succeeds(['inspect', file])).stdout;
    assert.match(report, /the compiler executes it/);
    assert.match(report, /If .*: the engine has no step for this operator/);
    assert.match(report, /It cannot be saved as a plan/);
    assert.match(await fails(['compile', file, '-o', join(folder, 'fallback.plan')], 1), /no steps for parts of the model \(.*If.*\).*\[UNSUPPORTED_MODEL\]$/);
  });
});

describe('files of weights', () => {
  test('are found beside the model', async () => {
    for (const name of ['one_file', 'two_files', 'aligned', 'in_folder', 'dot_slash']) {
      const { model, feeds, want } = await fixture(`external/${name}`);
      const plan = join(folder, `${name}.plan`);
      await succeeds(['compile', model, '-o', plan]);
      const session = await InferenceSession.create(plan);
      const [got] = Object.values(await session.run(feeds));
      assert.equal(difference(got, want, { kind: 'float', atol: 1e-5, rtol: 1e-4 }), undefined, name);
      await session.release();
    }
  });

  test('are named when they are not there, and may be given', async () => {
    const { model } = await fixture('external/one_file');
    const file = join(folder, 'moved/model.onnx');
    await mkdir(join(folder, 'moved'));
    await cp(model, file);
    const plan = join(folder, 'moved.plan');
    assert.match(await fails(['compile', file, '-o', plan], 1), /keeps weights in weights\.bin, which is not there.*--external.*\[EXTERNAL_DATA_MISSING\]$/);
    await succeeds(['compile', file, '-o', plan, '--external', join(OPERATORS, 'external/one_file/weights.bin')]);
  });
});

test('all ways a picture may be turned', async () => {
  const { orientationOf, turned } = await buildModule('cli/exif.ts');
  // The upright picture, 3 x 2: what it looks like must not depend on how it is stored.
  const upright = [[1, 2, 3], [4, 5, 6]];
  // By EXIF's definition: where the row 0 and the column 0 of the file are in the picture.
  const stored = {
    1: [[1, 2, 3], [4, 5, 6]], // top, left
    2: [[3, 2, 1], [6, 5, 4]], // top, right
    3: [[6, 5, 4], [3, 2, 1]], // bottom, right
    4: [[4, 5, 6], [1, 2, 3]], // bottom, left
    5: [[1, 4], [2, 5], [3, 6]], // left, top
    6: [[3, 6], [2, 5], [1, 4]], // right, top
    7: [[6, 3], [5, 2], [4, 1]], // right, bottom
    8: [[4, 1], [5, 2], [6, 3]], // left, bottom
  };
  for (const [orientation, rows] of Object.entries(stored)) {
    const data = new Uint8Array(Uint32Array.from(rows.flat()).buffer);
    const picture = turned({ data, width: rows[0].length, height: rows.length }, Number(orientation));
    assert.deepEqual([picture.width, picture.height], [3, 2], orientation);
    assert.deepEqual([...new Uint32Array(picture.data.buffer)], upright.flat(), `orientation ${orientation}`);
  }
  const exif = (value, endian) => {
    const [two, four] = endian === 'little' ? [(n) => [n, 0], (n) => [n, 0, 0, 0]] : [(n) => [0, n], (n) => [0, 0, 0, n]];
    const order = endian === 'little' ? [0x49, 0x49] : [0x4d, 0x4d];
    const tag = endian === 'little' ? [0x12, 0x01] : [0x01, 0x12];
    // One entry: its tag, a 16-bit number, one of them, and which.
    const tiff = [...order, ...two(42), ...four(8), ...two(1), ...tag, ...two(3), ...four(1), ...two(value), 0, 0, ...four(0)];
    return Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, tiff.length + 8, ...Buffer.from('Exif\0\0'), ...tiff]);
  };
  for (const endian of ['little', 'big']) for (const value of [1, 3, 6, 8]) assert.equal(orientationOf(exif(value, endian)), value, `${endian} ${value}`);
  assert.equal(orientationOf(exif(9, 'little')), 1);
  const whole = exif(6, 'little');
  for (let end = 2; end < 30; end++) assert.equal(orientationOf(whole.subarray(0, end)), 1, `cut at ${end}`);
  assert.equal(orientationOf(Buffer.from('ffd8ffe000104a46494600010100000100010000ffda0008', 'hex')), 1);
});
