// Where things are. Everything downloaded or derived lives under .cache, so deleting that folder resets the project.
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '');
export const CACHE = join(ROOT, '.cache');
export const LOGS = join(CACHE, 'logs');
export const STAMPS = join(CACHE, 'stamps');
export const TOOLS = join(CACHE, 'tools');
export const VENV = join(CACHE, 'venv');
export const WASM = join(CACHE, 'wasm');
export const DIST = join(ROOT, 'dist');
export const CONFIG = join(ROOT, 'pkg-config');
