// Times the kernels of convolutions and products alone, in Node: MAC per cycle, and percent of what the bare inner loop
// reaches in the same run. The clock is found by a chain of dependent additions.
//
//   node benches/kernels.mjs [--filter=text] [--zero-points] [--no-build]
//
// Node 20 runs relaxed SIMD only with --experimental-wasm-relaxed-simd, which is added when needed. On machines whose
// relaxed dot product saturates, those that rely on it are timed on small numbers.

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('kernels', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(FOLDER, '../../.cache/kernel-bench');
const FLAG = '--experimental-wasm-relaxed-simd';
// As the engine's builds have them.
const LLVM = ['-C', 'llvm-args=-pre-RA-sched=source', '-C', 'llvm-args=-enable-misched=false'];

const options = new Set(process.argv.slice(2).filter((a) => !a.startsWith('--filter=')));
const filter = process.argv.find((a) => a.startsWith('--filter='))?.slice(9) ?? '';

if (Number(process.versions.node.split('.')[0]) < 21 && !process.execArgv.includes(FLAG)) {
  process.exit(spawnSync(process.execPath, [FLAG, ...process.argv.slice(1)], { stdio: 'inherit' }).status ?? 1);
}

function build(feature) {
  const folder = join(TARGET, feature);
  if (!options.has('--no-build')) {
    const flags = ['-C', `target-feature=+${feature}`, ...LLVM];
    execFileSync('cargo', ['build', '--release', '--quiet', '--target', 'wasm32-unknown-unknown'], {
      cwd: FOLDER,
      env: { ...process.env, CARGO_TARGET_DIR: folder, CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') },
      stdio: 'inherit',
    });
  }
  const bytes = readFileSync(join(folder, 'wasm32-unknown-unknown/release/kernel_bench.wasm'));
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
}

/** Seconds of one call of `f(times)`, for one time: the best of many, each long enough for the clock. */
function seconds(f, rounds = 12) {
  let times = 1;
  let took = 0;
  // Also lets the engine reach its best code.
  for (const until = performance.now() + 250; performance.now() < until || took < 4; ) {
    const start = performance.now();
    f(times);
    took = performance.now() - start;
    if (took < 4) times *= 2;
  }
  let best = Infinity;
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    f(times);
    best = Math.min(best, performance.now() - start);
  }
  return best / 1e3 / times;
}

const gemm = (m, k, n) => ({ name: `gemm ${m} x ${k} x ${n}`, h: m, w: 1, c: k, kernel: 1, stride: 1, pad: 0, channels: n });
const conv = (size, c, channels, kernel = 1, stride = 1) => ({
  name: `conv ${size}x${size}x${c} > ${channels}, ${kernel}x${kernel}${stride > 1 ? ` / ${stride}` : ''}`,
  h: size, w: size, c, kernel, stride, pad: kernel >> 1, channels,
});
const product = (m, k, n, transposed) => ({ name: `product ${m} x ${k} x ${n}${transposed ? ', k inner' : ''}`, m, k, n, transposed });

const JOBS = [
  gemm(128, 128, 128), gemm(256, 256, 256), gemm(512, 512, 512), gemm(1024, 1024, 1024),
  gemm(12544, 28, 32), gemm(1255, 28, 128), gemm(1255, 8, 128),
  gemm(1, 1280, 1000), gemm(1, 1280, 8000), gemm(4, 1024, 1024), gemm(8, 1024, 1024), gemm(15, 1024, 1024), gemm(16, 1024, 1024), gemm(20, 1024, 1024), gemm(25, 1024, 1024), gemm(40, 1024, 1024), gemm(197, 768, 768),
  conv(224, 3, 32, 3, 2), conv(224, 3, 64, 7, 2),
  conv(112, 32, 16), conv(56, 144, 24), conv(14, 384, 64), conv(14, 64, 384), conv(7, 960, 160), conv(7, 320, 1280),
  conv(56, 64, 64, 3), conv(28, 512, 128), conv(14, 256, 256, 3), conv(7, 512, 512, 3), conv(56, 256, 512, 1, 2),
  product(197, 64, 197, true), product(197, 197, 64, false), product(128, 64, 128, true), product(128, 128, 64, false),
].filter((job) => job.name.includes(filter));

const simd = build('simd128');
const relaxed = build('relaxed-simd');
// Best of all so far: other programs only ever slow things down.
let fastest = 0;
const hertz = () => (fastest = Math.max(fastest, 16 / seconds((n) => simd.clock(n * 1000), 4) * 1000));
const best = new Map();
const limitOf = ({ name, bare, work }) => {
  const rate = work / seconds(bare, 6) / hertz();
  best.set(name, Math.max(best.get(name) ?? 0, rate));
  return best.get(name);
};

console.log(`node ${process.versions.node}, V8 ${process.versions.v8}, ${(hertz() / 1e9).toFixed(2)} GHz; the probe says ${['Pairs', 'Usdot', 'Sdot', 'Maddubs'][relaxed.probed()]}`);
const paths = [
  { name: 'pairs', exports: simd, code: 0, bare: simd.limit_pairs, work: 128 * 2 * 5 * 8 },
  { name: 'usdot', exports: relaxed, code: 1, bare: relaxed.limit_bytes, work: 128 * 4 * 6 * 8 },
  { name: 'maddubs', exports: relaxed, code: 3, bare: relaxed.limit_maddubs, work: 128 * 4 * 3 * 8 },
];
for (const path of paths) console.log(`limit, ${path.name}: ${limitOf(path).toFixed(2)} MAC per cycle`);
console.log(['', ...paths.flatMap((p) => [`${p.name} us`, 'MAC/cycle', '% of limit'])].map((s, i) => (i ? s.padStart(11) : s.padEnd(34))).join(''));
for (const job of JOBS) {
  const cells = [];
  const hashes = new Set();
  for (const path of paths) {
    const { exports, code } = path;
    let work;
    if (job.m) {
      exports.matmul_new(code, job.m, job.k, job.n, job.transposed ? 1 : 0);
      work = job.m * job.k * job.n;
    } else {
      exports.conv_new(code, job.h, job.w, job.c, job.kernel, job.stride, job.pad, job.channels, options.has('--zero-points') ? 3 : 0);
      const size = (i) => Math.floor((i + 2 * job.pad - job.kernel) / job.stride) + 1;
      work = size(job.h) * size(job.w) * job.kernel ** 2 * job.c * job.channels;
    }
    // The one with small weights has other results.
    const hash = exports.run(1);
    if (job.m || code !== 1) hashes.add(hash);
    const time = seconds(exports.run);
    const rate = work / time / hertz();
    cells.push((time * 1e6).toFixed(1), rate.toFixed(2), ((100 * rate) / limitOf(path)).toFixed(0));
  }
  const note = hashes.size > 1 ? '  results differ' : '';
  console.log(job.name.padEnd(34) + cells.map((s) => s.padStart(11)).join('') + note);
}
