const worker = new Worker(new URL('./own-worker.js', import.meta.url), { type: 'module' });

worker.onmessage = ({ data }) => {
  document.querySelector('output').textContent = data;
};
const response = await fetch('/coffee.jpg');
worker.postMessage(await response.blob());
