// worker-more.js: the part of the worker that pages with a compiled model do without.

import type { WorkerScope } from './load-more.js';
import * as more from './more.js';

// Some bundlers make a classic script of this, which cannot export anything.
(globalThis as WorkerScope).tractletMore = more;
