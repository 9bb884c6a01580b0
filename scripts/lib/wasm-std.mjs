// Rust's standard library for wasm32-unknown-unknown, compiled from the distribution's own sources and put where
// `rustup target add` would have put it. For machines on which that command cannot download anything.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asRoot } from './debian.mjs';
import { task } from './run.mjs';

/** `destination` is for trying this out beside an installed one. */
export async function installWasmStd({ folder, libraryFolder }, target, destination = libraryFolder) {
  await task('Rust standard library for WebAssembly: compiling (a minute, once)', async ({ exec }) => {
    const work = mkdtempSync(join(tmpdir(), 'wasm-std-'));
    try {
      const built = await buildStd(exec, folder, target, work);
      const staged = join(work, 'lib');
      mkdirSync(staged);
      for (const file of readdirSync(built)) {
        // Everything the empty crate depends on, without that crate.
        if (file.endsWith('.rlib') && !file.startsWith('libsysroot-')) cpSync(join(built, file), join(staged, file));
      }
      // Renamed into place last: an interrupted copy must not look like a finished one.
      const partial = `${destination}.partial`;
      await asRoot(exec, 'rm', ['-rf', partial, destination]);
      await asRoot(exec, 'mkdir', ['-p', join(destination, '..')]);
      await asRoot(exec, 'cp', ['-r', staged, partial]);
      await asRoot(exec, 'chmod', ['-R', 'a+rX', partial]);
      await asRoot(exec, 'mv', [partial, destination]);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });
}

async function buildStd(exec, folder, target, work) {
  mkdirSync(join(work, 'src'));
  writeFileSync(join(work, 'src', 'lib.rs'), '');
  writeFileSync(join(work, 'Cargo.toml'), '[package]\nname = "sysroot"\nversion = "0.0.0"\nedition = "2021"\n');
  const env = {
    ...process.env,
    // -Zbuild-std is not a stable option.
    RUSTC_BOOTSTRAP: '1',
    RUSTC: join(folder, 'rustc'),
    // As in Rust's own builds: fat LTO needs the bitcode.
    RUSTFLAGS: '-C embed-bitcode=yes',
    CARGO_TARGET_DIR: join(work, 'target'),
  };
  for (const variable of ['CARGO_ENCODED_RUSTFLAGS', 'CARGO_BUILD_TARGET', 'RUSTUP_TOOLCHAIN']) delete env[variable];
  const args = ['build', '--release', '--target', target, '-Zbuild-std=std,panic_abort,proc_macro,test'];
  await exec(join(folder, 'cargo'), args, { cwd: work, env });
  return join(work, 'target', target, 'release', 'deps');
}
