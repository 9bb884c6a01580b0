// LiteRT.js, the build that browsers without relaxed SIMD get.
import * as litert from './litert.mjs';

export const name = 'litert-compat';
export const { format, worker, folder, packageFile, alsoDownloaded, optional, bundle, open } = litert;
export const load = litert.loadCompatible;
