// An app that uses transformers.js, with models of its own server. Nothing in it is about the runtime underneath.
import { env, pipeline } from '@huggingface/transformers';

Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, useBrowserCache: false });
env.localModelPath = '/.cache/fixtures/transformers/';

export { env };

export async function classify(images) {
  const classifier = await pipeline('image-classification', 'efficientnet-lite0', { dtype: 'q8' });
  const results = [];
  for (const image of images) results.push(await classifier(image, { top_k: 3 }));
  await classifier.dispose();
  return results;
}

export async function embed(texts) {
  const extractor = await pipeline('feature-extraction', 'tiny-bert', { dtype: 'q8' });
  // One by one, and as a batch, which is padded to the longest.
  const single = await extractor(texts[0], { pooling: 'mean', normalize: true });
  const batch = await extractor(texts, { pooling: 'cls' });
  const tokens = await extractor(texts[1]);
  await extractor.dispose();
  return [single, batch, tokens].map(({ dims, data }) => ({ dims, data: Array.from(data) }));
}
