import { StrictMode, createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { Classifier } from './Classifier.jsx';

createRoot(document.querySelector('main')).render(createElement(StrictMode, undefined, createElement(Classifier, { src: '/coffee.jpg' })));
