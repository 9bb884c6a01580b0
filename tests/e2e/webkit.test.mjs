// Safari's engine, as WebKitGTK has it: on Linux only.
import { test } from 'node:test';
import { testOnePhoto } from './lib/one-photo.mjs';

if (process.platform === 'linux') testOnePhoto('webkit', 'WebKitGTK');
else test('the demo page in WebKitGTK', { skip: 'there is no WebKitGTK for this system' }, () => {});
