// Answers as they go into the report.
import { createHash } from 'node:crypto';

/** Of all scores: libraries with the same digest gave the same answers to the last bit. */
export function digest(scores) {
  const hash = createHash('sha256');
  for (const photo of scores) hash.update(Float32Array.from(photo));
  return hash.digest('hex');
}
