import { ImageClassifier } from 'tractlet';

const video = document.querySelector('video');
const output = document.querySelector('output');
const controller = new AbortController();
const { signal } = controller;
document.querySelector('button').onclick = () => controller.abort();

video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
await video.play();
const classifier = await ImageClassifier.create('/squeezenet1.1-int8.json', { topK: 1 });
// Always the newest picture: those that come while one is being looked at are left out.
for await (const [best] of classifier.classifyStream(video, { signal, smoothing: 300 })) {
  output.textContent = `${best.label} ${best.score.toFixed(3)}`;
}
await classifier.release();
video.srcObject.getTracks().forEach((track) => track.stop());
