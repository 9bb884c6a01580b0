import { createApp } from 'vue';
import Classifier from './Classifier.vue';

createApp(Classifier, { src: '/coffee.jpg' }).mount('main');
