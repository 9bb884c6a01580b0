import { mount } from 'svelte';
import Classifier from './Classifier.svelte';

mount(Classifier, { target: document.querySelector('main'), props: { src: '/coffee.jpg' } });
