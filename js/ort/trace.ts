// Marks on the browser's time line, which onnxruntime's own code sets and apps may. Silent unless `env.trace`.
/* eslint-disable no-console -- the time line is the console's */

import { env } from './env.js';

const isOn = (): boolean => env.trace ?? (env.wasm as { trace?: boolean }).trace ?? false;

/** @ignore */
export function TRACE(deviceType: string, label: string): void {
  if (isOn()) console.timeStamp(`${deviceType}::ORT::${label}`);
}

function traceFunction(phase: 'BEGIN' | 'END', extraMsg: string | undefined): void {
  TRACE('CPU', ['FUNC_' + phase, ...(extraMsg === undefined ? [] : [extraMsg])].join('::'));
}

/** @ignore */
export function TRACE_FUNC_BEGIN(extraMsg?: string): void {
  traceFunction('BEGIN', extraMsg);
}

/** @ignore */
export function TRACE_FUNC_END(extraMsg?: string): void {
  traceFunction('END', extraMsg);
}

/** @ignore */
export function TRACE_EVENT_BEGIN(extraMsg?: string): void {
  if (isOn()) console.time(`ORT::${extraMsg ?? ''}`);
}

/** @ignore */
export function TRACE_EVENT_END(extraMsg?: string): void {
  if (isOn()) console.timeEnd(`ORT::${extraMsg ?? ''}`);
}
