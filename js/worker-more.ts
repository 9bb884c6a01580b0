// worker-more.js: the part of the worker that most pages with a compiled model do without.

import * as more from './more.js';
import type { WithMore } from './load-more.js';

// Some bundlers make a classic script of this, which cannot export anything.
(globalThis as WithMore).tractletMore = more;
