import { testOnePhoto } from './lib/one-photo.mjs';

testOnePhoto('firefox', 'Firefox');
