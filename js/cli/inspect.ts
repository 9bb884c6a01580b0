// tractlet inspect

import { type FallbackNode, inspectModel, type ModelInspection, type PlanVariant } from '../index.js';
import type { Arguments } from './args.js';
import { forTerminal, nameShapes } from './compile.js';
import { withExternalData } from './files.js';
import { bytes, print, Progress } from './terminal.js';

const REASONS: Readonly<Record<FallbackNode['reason'], string>> = {
  operator: 'the engine has no step for this operator',
  form: 'the engine has no step for it with these types, attributes or operands',
  size: 'the size of its result depends on the data',
  whole: 'the graph around it cannot be split',
};

export async function inspect(args: Arguments): Promise<void> {
  const { file, dims, quiet, json } = args;
  const progress = new Progress(quiet);
  try {
    const found = await withExternalData(args, async (externalData) => {
      const options = { freeDimensionOverrides: dims, externalData, onProgress: progress.onProgress };
      const shapes = await nameShapes(args, (name) => inspectModel(name, options));
      return inspectModel(file, { ...options, shapes });
    });
    progress.done();
    print(json ? JSON.stringify({ file, ...found }, undefined, 2) : report(file, found));
  } catch (error) {
    progress.done();
    throw forTerminal(error);
  }
}

const shapeOf = (shape: readonly (number | string)[]): string => `[${shape.join(', ')}]`;

function report(file: string, found: ModelInspection): string {
  const { format, metadata, variants, inputs, outputs } = found;
  const { graphName, producerName, producerVersion, irVersion, opsets, description } = metadata;
  const producer = `${producerName} ${producerVersion}`.trim();
  const lines = [
    `${file}: ${format === 'plan' ? 'plan' : 'ONNX model'}, ${bytes(found.bytes)}`,
    ...(graphName ? [`  graph     ${graphName}`] : []),
    ...(producer ? [`  producer  ${producer}`] : []),
    `  format    IR version ${irVersion}, ${opsets.map(({ domain, version }) => `${domain || 'ai.onnx'} ${version}`).join(', ')}`,
    ...(description ? [`  text      ${description.split('\n')[0] ?? ''}`] : []),
    ...Object.entries(metadata.metadata).map(([key, value]) => `  metadata  ${key}: ${value}`),
    ...inputs.map(({ name, type, shape }) => `  input     ${name}: ${type} ${shapeOf(shape)}`),
    ...outputs.map(({ name, type, shape }) => `  output    ${name}: ${type} ${shapeOf(shape)}`),
    `  memory    ${bytes(found.weightBytes)} of weights, packed for the ${found.build} build`,
    ...(format === 'onnx' ? [`  plan      ${bytes(found.planBytes)}`] : []),
  ];
  if (variants.length === 0) lines.push('', 'Its input sizes are open: --shape, or --dim, shows the steps for some.');
  for (const variant of variants) lines.push('', ...reportVariant(variant));
  return lines.join('\n');
}

function reportVariant({ inputs, steps, macs, arenaBytes, fallbacks }: PlanVariant): string[] {
  const shapes = Object.entries(inputs).map(([name, shape]) => `${name} ${shapeOf(shape)}`);
  const rows = steps.map(({ name, opType, kernel, shape, macs }, i) => [String(i), opType, kernel, shapeOf(shape), macs > 0 ? millions(macs) : '', name]);
  return [
    `For ${shapes.join(', ') || 'no inputs'}: ${steps.length} steps, ${millions(macs)} million products, ${bytes(arenaBytes)} to compute in`,
    ...table(['', 'operator', 'kernel', 'result', 'million', 'node'], rows),
    ...fallbacks.flatMap(({ name, nodes }) => [
      `The engine has no steps for a part that ends in ${name}: the compiler executes it.`,
      ...nodes.map(({ name, opType, reason }) => `  ${opType} ${name}: ${REASONS[reason]}`),
    ]),
    fallbacks.length > 0 ? 'It cannot be saved as a plan.' : 'The engine runs all of it.',
  ];
}

function millions(count: number): string {
  return (count / 1e6).toFixed(count < 1e6 ? 3 : 1);
}

/** Columns of their own widths; that of numbers to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const cell = (text: string, column: number): string => {
    const width = widths[column] ?? 0;
    return column === 0 || head[column] === 'million' ? text.padStart(width) : text.padEnd(width);
  };
  return all.map((row) => `  ${row.map(cell).join('  ')}`.trimEnd());
}
