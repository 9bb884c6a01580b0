const { serviceWorker } = navigator;
await serviceWorker.register('sw.js', { type: 'module' });
if (!serviceWorker.controller) await new Promise((resolve) => serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
const answer = await fetch('classify?photo=assets/coffee.jpg');
document.querySelector('output').textContent = await answer.text();
