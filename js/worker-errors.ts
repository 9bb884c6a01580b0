// worker-errors.js: the part of the worker that pages do without as long as nothing goes wrong.

import * as explaining from './explaining.js';
import type { WorkerScope } from './load-more.js';

// Some bundlers make a classic script of this, which cannot export anything.
(globalThis as WorkerScope).tractletErrors = explaining;
