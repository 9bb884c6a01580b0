// One Rust toolchain for everything (native, wasm, clippy, fmt), so that each dependency is compiled once per target.
//
// It has to have a standard library for wasm32-unknown-unknown. In this order:
//   1. the active toolchain, if it has one already; then Debian's, if an earlier run made it complete;
//   2. the active toolchain after `rustup target add` (or a pinned one, where the active one is missing or too old);
//   3. Debian's rustc-web with the standard library compiled from Debian's own sources (wasm-std.mjs).
// Some modules have a standard library of their own, which cargo compiles with them (-Zbuild-std): for those,
// the same toolchain after `rustup component add rust-src`, or Debian's.
// The choice is remembered in .cache/toolchain.json.
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { aptInstall, hasApt } from './debian.mjs';
import { CACHE, ROOT, TOOLS } from './paths.mjs';
import { upToDate } from './report.mjs';
import { CommandFailed, Stop, capture, task } from './run.mjs';
import { CARGO_BIN, TOOL_VERSIONS, atLeast, findCargoTool, fromEnvironment, lockedVersion, mentionsVersion, which } from './tools.mjs';
import { installWasmStd } from './wasm-std.mjs';

export const WASM_TARGET = 'wasm32-unknown-unknown';
const REMEMBERED = join(CACHE, 'toolchain.json');
const TARGET_ADD_SECONDS = 300;

/** Cargo.toml names the oldest Rust that will do. */
function minimumRust() {
  return readFileSync(join(ROOT, 'Cargo.toml'), 'utf8').match(/^rust-version = "([^"]+)"/m)?.[1] ?? '1.92';
}

const findRustup = () => which('rustup', [CARGO_BIN]);

/** Crates that a wasm build, and a wasm test build, link. */
export function hasWasmStd(libraryFolder) {
  if (!existsSync(libraryFolder)) return false;
  const files = readdirSync(libraryFolder);
  return ['core', 'std', 'test'].every((crate) => files.some((file) => file.startsWith(`lib${crate}-`) && file.endsWith('.rlib')));
}

/**
 * Describes a toolchain, or returns undefined if there is none. `name` is a rustup toolchain's ('' for the active one);
 * without rustup `cargo` is the program itself.
 */
async function probe({ rustup, name, cargo }) {
  const env = { ...process.env };
  if (name) env.RUSTUP_TOOLCHAIN = name;
  // rustup's proxies lie beside rustup; a plain rustc beside its cargo.
  const folder = dirname(rustup ?? cargo);
  const rustc = join(folder, 'rustc');
  const about = await capture(rustc, ['-vV'], { env });
  if (about.code !== 0) return undefined;
  const field = (key) => about.stdout.match(new RegExp(`^${key}: (.*)$`, 'm'))?.[1] ?? '';
  const [sysroot, libraryFolder] = await Promise.all([
    capture(rustc, ['--print', 'sysroot'], { env }),
    capture(rustc, ['--print', 'target-libdir', '--target', WASM_TARGET], { env }),
  ]);
  const tools = await Promise.all(['cargo-clippy', 'rustfmt'].map((tool) => capture(join(folder, tool), ['--version'], { env })));
  return {
    requested: process.env.RUSTUP_TOOLCHAIN ?? null,
    name: rustup ? name || (await activeName(rustup)) : null,
    folder,
    version: field('release'),
    commit: field('commit-hash'),
    llvm: field('LLVM version'),
    host: field('host'),
    sysroot: sysroot.stdout.trim(),
    libraryFolder: libraryFolder.stdout.trim(),
    complete: hasWasmStd(libraryFolder.stdout.trim()) && atLeast(field('release'), minimumRust()),
    hasLints: tools.every(({ code }) => code === 0),
  };
}

async function activeName(rustup) {
  const { stdout } = await capture(rustup, ['show', 'active-toolchain']);
  return stdout.split(/\s/)[0] || null;
}

function remembered() {
  try {
    const toolchain = JSON.parse(readFileSync(REMEMBERED, 'utf8'));
    const same = toolchain.requested === (process.env.RUSTUP_TOOLCHAIN ?? null);
    return same && existsSync(join(toolchain.folder, 'cargo')) && hasWasmStd(toolchain.libraryFolder) ? toolchain : undefined;
  } catch {
    return undefined;
  }
}

/** The chosen toolchain; setup has to have run. */
export function toolchain() {
  const chosen = remembered();
  if (!chosen) throw new Stop('no Rust toolchain has been chosen yet; please run: npm run setup');
  return chosen;
}

/** The toolchain that has the sources of its standard library. */
export function sourceToolchain() {
  const chosen = toolchain();
  if (hasStdSource(chosen.sysroot)) return chosen;
  if (hasStdSource(chosen.withSource?.sysroot)) return chosen.withSource;
  throw new Stop('there are no sources of the standard library yet; please run: npm run setup');
}

/** Where a toolchain has those sources, if it does. */
export const stdSourceFolder = (sysroot) => join(sysroot, 'lib', 'rustlib', 'src', 'rust');

function hasStdSource(sysroot) {
  return Boolean(sysroot) && existsSync(join(stdSourceFolder(sysroot), 'library', 'std', 'Cargo.toml'));
}

/**
 * The environment in which every script starts cargo, wasm-pack and their like.
 *
 * @param options.source with the toolchain that can compile the standard library
 */
export function rustEnvironment(extra = {}, { source = false } = {}) {
  const { name, folder, linkerFolder } = source ? sourceToolchain() : toolchain();
  const env = { ...process.env };
  // Flags of the caller's would replace those of .cargo/config.toml, without which the wasm builds fail.
  for (const variable of ['RUSTFLAGS', 'CARGO_ENCODED_RUSTFLAGS', 'CARGO_BUILD_TARGET', 'CARGO_BUILD_RUSTFLAGS']) delete env[variable];
  if (name) env.RUSTUP_TOOLCHAIN = name;
  env.PATH = [join(TOOLS, 'bin'), folder, process.env.PATH, CARGO_BIN, linkerFolder].filter(Boolean).join(delimiter);
  env.CARGO_TERM_COLOR = 'never';
  return { ...env, ...extra };
}

/** Chooses the toolchain, installing what is missing. `lints`: clippy and rustfmt are needed too. */
export async function setupRust({ lints = false } = {}) {
  const known = remembered();
  const hasSource = known && (hasStdSource(known.sysroot) || hasStdSource(known.withSource?.sysroot));
  if (hasSource && (known.hasLints || !lints) && (await isUnchanged(known))) {
    upToDate('Rust for WebAssembly', describe(known));
    return known;
  }
  await setupLinker();
  const chosen = (await findComplete()) ?? (await installWithRustup()) ?? (await installFromDebian());
  if (lints && !chosen.hasLints) await addLints(chosen);
  chosen.linkerFolder = await wasmLinkerFolder(chosen);
  if (!hasStdSource(chosen.sysroot)) await addStdSource(chosen);
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(REMEMBERED, `${JSON.stringify(chosen, null, 2)}\n`);
  upToDate('Rust for WebAssembly', describe(chosen));
  return chosen;
}

/** False after an update of the toolchain, for instance by `rustup update`. */
async function isUnchanged({ name, folder, version }) {
  const env = name ? { ...process.env, RUSTUP_TOOLCHAIN: name } : process.env;
  const { stdout } = await capture(join(folder, 'rustc'), ['--version'], { env });
  return mentionsVersion(stdout, version);
}

function describe({ version, name }) {
  return `Rust ${version}${name ? `, toolchain ${name}` : ''}`;
}

/** cargo links native programs (build scripts, tests) with the C compiler. */
async function setupLinker() {
  if (which(['cc', 'gcc', 'clang'])) return;
  await aptInstall('C compiler', TOOL_VERSIONS.compiler.debianPackages, 'a C compiler (on macOS: xcode-select --install)');
}

async function findComplete() {
  const rustup = findRustup();
  const { debianToolchain } = TOOL_VERSIONS.rust;
  const candidates = rustup ? [{ rustup, name: '' }, { rustup, name: debianToolchain }] : [];
  const cargo = which('cargo');
  if (!rustup && cargo) candidates.push({ cargo });
  for (const candidate of candidates) {
    const found = await probe(candidate);
    if (found?.complete) return found;
  }
  return undefined;
}

async function installWithRustup() {
  const rustup = findRustup();
  if (!rustup) return undefined;
  const active = await probe({ rustup, name: '' });
  const usable = active && atLeast(active.version, minimumRust());
  const { install } = TOOL_VERSIONS.rust;
  const name = usable ? active.name : install;
  const args = usable
    ? ['target', 'add', WASM_TARGET, '--toolchain', name]
    : ['toolchain', 'install', name, '--profile', 'minimal', '--component', 'clippy', '--component', 'rustfmt', '--target', WASM_TARGET];
  try {
    await task(`rustup ${args.slice(0, 3).join(' ')}`, async ({ exec, note }) => {
      try {
        await exec(rustup, args, { timeoutSeconds: TARGET_ADD_SECONDS });
      } catch (error) {
        if (error instanceof CommandFailed && hasApt()) {
          note('not to be had here, using Debian packages instead');
          error.shown = true;
        }
        throw error;
      }
    });
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    if (!hasApt()) throw new Stop(`please install Rust's WebAssembly target: rustup ${args.join(' ')}`);
    return undefined;
  }
  const found = await probe({ rustup, name });
  return found?.complete ? found : undefined;
}

async function installFromDebian() {
  const { debianPackages, debianToolchain } = TOOL_VERSIONS.rust;
  await aptInstall('Rust', debianPackages, `Rust ${minimumRust()} or newer with its WebAssembly target (rustup target add ${WASM_TARGET})`);
  const rustup = findRustup();
  const debian = await probe({ cargo: '/usr/bin/cargo' });
  if (!debian || !atLeast(debian.version, minimumRust())) {
    throw new Stop(`Rust ${minimumRust()} or newer is needed, Debian's is ${debian?.version ?? 'missing'}; please run: rustup target add ${WASM_TARGET}`);
  }
  if (!debian.complete) await installWasmStd(debian, WASM_TARGET);
  if (rustup && !(await probe({ rustup, name: debianToolchain }))) {
    await task(`rustup toolchain link ${debianToolchain}`, ({ exec }) => exec(rustup, ['toolchain', 'link', debianToolchain, debian.sysroot]));
  }
  const found = await probe(rustup ? { rustup, name: debianToolchain } : { cargo: '/usr/bin/cargo' });
  if (!found?.complete) throw new Stop(`Rust has no ${WASM_TARGET} library although it was installed; please run: rustup target add ${WASM_TARGET}`);
  return found;
}

/** The sources of the standard library: the toolchain's own, or another toolchain that has them. */
async function addStdSource(chosen) {
  const rustup = findRustup();
  if (rustup && chosen.sysroot !== '/usr') {
    try {
      await task('rustup component add rust-src', ({ exec }) =>
        exec(rustup, ['component', 'add', 'rust-src', '--toolchain', chosen.name], { timeoutSeconds: TARGET_ADD_SECONDS }));
    } catch (error) {
      if (!(error instanceof CommandFailed && hasApt())) throw error;
      error.shown = true;
    }
    if (hasStdSource(chosen.sysroot)) return;
  }
  const debian = await installFromDebian();
  if (!hasStdSource(debian.sysroot)) throw new Stop('please install the sources of the Rust standard library: rustup component add rust-src');
  debian.linkerFolder = await wasmLinkerFolder(debian);
  if (debian.sysroot !== chosen.sysroot) chosen.withSource = debian;
}

async function addLints(chosen) {
  const rustup = findRustup();
  const { debianPackages } = TOOL_VERSIONS.rust;
  if (chosen.sysroot === '/usr' && hasApt()) {
    await aptInstall('clippy and rustfmt', debianPackages.filter((name) => /clippy|rustfmt/.test(name)), 'clippy and rustfmt');
  } else if (rustup) {
    await task('rustup component add clippy rustfmt', ({ exec }) => exec(rustup, ['component', 'add', 'clippy', 'rustfmt', '--toolchain', chosen.name]));
  } else {
    throw new Stop('please install clippy and rustfmt for the Rust on your PATH');
  }
  chosen.hasLints = true;
}

/**
 * rustc links wasm with `rust-lld`. rustup's toolchains bring it along and find it; Debian's rustc looks on the PATH, so
 * the folder of one that is there is returned, or of a link to Debian's own lld.
 */
async function wasmLinkerFolder({ sysroot, host, llvm }) {
  const folderIn = (root) => join(root, 'lib', 'rustlib', host, 'bin');
  if (existsSync(join(folderIn(sysroot), 'rust-lld'))) return undefined;
  const onPath = which('rust-lld');
  if (onPath) return dirname(onPath);
  const rustup = findRustup();
  if (rustup) {
    const { stdout } = await capture(rustup, ['toolchain', 'list', '-v']);
    const roots = stdout.split('\n').map((line) => line.trim().split(/\s+/).at(-1)).filter((path) => path?.startsWith('/'));
    const root = roots.find((path) => existsSync(join(folderIn(path), 'rust-lld')));
    if (root) return folderIn(root);
  }
  const lld = `lld-${llvm.split('.')[0]}`;
  if (!which(lld)) await aptInstall('linker for WebAssembly', [lld], `LLVM's lld (${lld})`);
  const bin = join(TOOLS, 'bin');
  mkdirSync(bin, { recursive: true });
  // rustc says `-flavor wasm`, which the general lld understands under any name.
  if (!existsSync(join(bin, 'rust-lld'))) symlinkSync(which(lld), join(bin, 'rust-lld'));
  return bin;
}

/** Compiles the pinned cargo tools that are neither in .cache/tools nor, in the same version, on the PATH. */
export async function setupCargoTools(names) {
  const locked = lockedVersion('wasm-bindgen');
  const pinned = TOOL_VERSIONS.cargo['wasm-bindgen-cli'].version;
  if (locked !== pinned) {
    throw new Stop(`Cargo.lock has wasm-bindgen ${locked}, pkg-config/tools.json ${pinned}: the two have to be equal`);
  }
  for (const name of names) {
    const { version, locked: useLock } = TOOL_VERSIONS.cargo[name];
    if (name === 'geckodriver' && fromEnvironment('GECKODRIVER')) {
      upToDate(name, 'as GECKODRIVER says');
      continue;
    }
    if (await findCargoTool(name)) {
      upToDate(`${name} ${version}`);
      continue;
    }
    await task(`${name} ${version}: compiling (a few minutes, once)`, ({ exec }) =>
      exec('cargo', ['install', name, '--version', version, '--root', TOOLS, ...(useLock ? ['--locked'] : [])], {
        env: rustEnvironment({
          // One folder for all of them: they share many dependencies.
          CARGO_TARGET_DIR: join(TOOLS, 'target'),
          // They run for seconds; compiling them is what takes minutes.
          CARGO_PROFILE_RELEASE_OPT_LEVEL: '1',
          CARGO_PROFILE_RELEASE_LTO: 'off',
          CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
          CARGO_PROFILE_RELEASE_DEBUG: 'false',
        }),
      }), { log: `install-${name}` });
  }
}
