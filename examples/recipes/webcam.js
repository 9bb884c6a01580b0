import { ImageClassifier } from 'tractlet';

const video = document.querySelector('video');
const output = document.querySelector('output');
const controller = new AbortController();
document.querySelector('button').onclick = () => controller.abort();

video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
await video.play();
const classifier = await ImageClassifier.create('/squeezenet1.1-int8.json');
while (!controller.signal.aborted) {
  // Resolves when the answer is there, so frames that come meanwhile are left out.
  const [best] = await classifier.classify(video);
  output.textContent = `${best.label} ${best.score.toFixed(3)}`;
}
await classifier.release();
video.srcObject.getTracks().forEach((track) => track.stop());
