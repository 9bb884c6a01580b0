// Stands in for the glue of the engine with threads, which Node has no use for.

export * from './engine.js';
export { default } from './engine.js';

export const setThreads = () => undefined;
export const help = () => undefined;
export const helperFailed = () => undefined;
