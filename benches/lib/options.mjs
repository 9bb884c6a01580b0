// The command line.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Stop } from '../../scripts/lib/run.mjs';

export const USAGE = `npm run bench -- [options]

  --runs N          timed runs per library and model (default 60)
  --passes N        passes over all models, each with fresh pages (default 3)
  --models PATTERN  models whose names match this regular expression, instead of the usual ones; '.' is all of them
  --peers A,B       libraries of benches/peers; the others are compared with the first (default: all, tractlet-simd128
                    only where there is a second engine build, but not tractlet-threads, which has two threads)
  --no-native       without native onnxruntime
  --json PATH       where the figures go (default .cache/bench/<time>.json)
  --page            serves www/bench.html instead: the same in any browser; HOST and PORT as environment variables
  --quick           one pass of 10 runs, answers compared on 4 photos: to see that it works, not to quote
  --not-isolated    without the COOP and COEP headers; the clock then has steps of 0.1 ms instead of 5 µs
  --help`;

/** Timed runs per turn. A turn is short, so that all libraries meet the same weather; for slow models it ends sooner. */
export const TURN = { runs: 5, milliseconds: 2000 };

function count(name, text) {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new Stop(`--${name} is '${text}', which is not a number above 0`);
  return Number(text);
}

function pattern(text) {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new Stop(`--models: ${error.message}`);
  }
}

/** What is asked for: { help } or everything else. */
export function readOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        runs: { type: 'string' },
        passes: { type: 'string' },
        models: { type: 'string' },
        peers: { type: 'string' },
        'no-native': { type: 'boolean', default: false },
        json: { type: 'string' },
        page: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        'not-isolated': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new Stop(`${error.message}\n\n${USAGE}`);
  }
  const { quick, help } = values;
  const runs = count('runs', values.runs ?? (quick ? '10' : '60'));
  const passes = count('passes', values.passes ?? (quick ? '1' : '3'));
  return {
    help,
    page: values.page,
    quick,
    runs,
    passes,
    rounds: Math.ceil(runs / (passes * TURN.runs)),
    photos: quick ? 4 : Infinity,
    warmUp: quick ? { runs: 2, milliseconds: 500 } : { runs: 3, milliseconds: 2000 },
    models: values.models === undefined ? undefined : pattern(values.models),
    peers: values.peers && [...new Set(values.peers.split(',').map((name) => name.trim()).filter(Boolean))],
    native: !values['no-native'],
    json: values.json === undefined ? undefined : resolve(values.json),
    isolated: !values['not-isolated'],
  };
}
