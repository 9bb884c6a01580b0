// Makes wasm-bindgen's glue (`--target web --omit-default-module-path`) smaller: every page loads it. What goes is what
// this package has no use for: ways of loading a module, work-arounds for what no browser with WebAssembly SIMD needs,
// and the long names of imports. The version of wasm-bindgen is fixed; should its glue change, the build fails here.

/** Patterns in all glue, and what takes their place. */
const EVERYWHERE = [
  // Modules come compiled, and only that way.
  [/^let wasmModule, wasmInstance, wasm;\n/m, 'let wasm;\n'],
  [/^ {4}wasmInstance = instance;\n/m, ''],
  [/^ {4}wasmModule = module;\n/m, ''],
  [
    /^async function __wbg_load\([^]*(?=^export \{)/m,
    `async function __wbg_init({ module_or_path, memory, thread_stack_size }) {
  const instance = await WebAssembly.instantiate(module_or_path, __wbg_get_imports(memory));
  return __wbg_finalize_init(instance, module_or_path, thread_stack_size);
}
`,
  ],
  [/^export \{ initSync, __wbg_init as default \};$/m, 'export { __wbg_init as default };'],
  // A view is made quickly, and knows of memory that has grown.
  [/^let (cached\w+Memory0) = null;\nfunction (\w+)\(\) \{[^]*?= new (\w+)\(wasm\.memory\.buffer\);[^]*?^\}$/gm, 'function $2() { return new $3(wasm.memory.buffer); }'],
  [/^ {4}cached\w+Memory0 = null;\n/gm, ''],
  // Shared memory cannot be decoded in place, nor encoded into. A decoder of its own for each text: Safari's gets tired.
  [
    /^let cachedTextDecoder = [^]*?^function decodeText\([^]*?^\}$/m,
    "function decodeText(bytes) { return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.slice()); }",
  ],
  // What is freed is freed by hand, and instances that have crashed must not be touched.
  [/^const \w+Finalization = [^]*?;$/gm, ''],
  [/^ +\w+Finalization\.(?:un)?register\(.*\);\n/gm, ''],
  [/^if \(Symbol\.dispose\) .*\n/gm, ''],
  // Nothing that is asked has a prototype that throws.
  [/let result;\s+try \{\s+result = (arg0 instanceof \w+);\s+\} catch \(_\) \{\s+result = false;\s+\}\s+const ret = result;/g, 'const ret = $1;'],
];

/** Those of what is not in all glue, with what shows that it is. */
const WHERE_FOUND = [
  [
    /^function passStringToWasm0\([^]*?^\}$/m,
    `function passStringToWasm0(arg, malloc) {
  const bytes = new TextEncoder().encode(arg);
  const ptr = malloc(bytes.length, 1) >>> 0;
  getUint8ArrayMemory0().set(bytes, ptr);
  WASM_VECTOR_LEN = bytes.length;
  return ptr;
}`,
    'passStringToWasm0',
  ],
  [/^const cachedTextEncoder = .*\n(?:\nif \(.*cachedTextEncoder\)+ \{[^]*?^\}$)?/m, '', 'cachedTextEncoder'],
  [/^ {4}if \(typeof thread_stack_size [^]*?^ {4}\}\n/m, '', 'invalid stack size'],
  // For messages about values of the wrong type.
  [
    /^function debugString\([^]*?^\}$/m,
    `function debugString(value) {
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  try {
    if (/^(String|Array|Object)$/.test(tag)) return JSON.stringify(value);
  } catch {}
  return Object(value) === value ? tag : String(value);
}`,
    'debugString',
  ],
];

function check(found, what) {
  if (!found) throw new Error(`wasm-bindgen's glue has changed, see pkg-config/glue.mjs: there is no ${what}`);
}

/**
 * The imports by the last letters of their names, which are of a hash: as many as it takes to tell them apart. A module
 * asks for whole names.
 */
function shortenImports(glue) {
  const table = /^ {4}const import0 = \{\n {8}__proto__: null,\n[^]*?^ {4}\};$/m;
  const [text = ''] = table.exec(glue) ?? [];
  check(text, table);
  const key = /^ {8}"?([\w.]+)"?: /gm;
  const names = [...text.matchAll(key)].map(([, name]) => name).filter((name) => name !== '__proto__');
  let letters = 1;
  while (new Set(names.map((name) => name.slice(-letters))).size < names.length) letters += 1;
  const short = text
    .replace('const import0 = {\n        __proto__: null,', 'const short = {')
    .replace(key, (_, name) => `        "${name.slice(-letters)}": `)
    // None of them asks for `this`.
    .replace(/: function\(\) \{ return handleError\(function \((.*)\) \{$([^]*?)^ {8}\}, arguments\); \},$/gm, ': (...args) => handleError(($1) => {$2        }, args),')
    .replace(/: function\((.*)\) \{$/gm, ': ($1) => {');
  return glue.replace(table, () => `${short}\n    const import0 = new Proxy(short, { get: (_, name) => short[name.slice(-${letters})] });`);
}

/**
 * @param glue what wasm-bindgen has written
 * @throws if it is not what it is known to be
 */
export function shrinkGlue(glue) {
  let text = glue;
  const replace = (pattern, by) => {
    const before = text;
    text = text.replace(pattern, by);
    return text !== before;
  };
  for (const [pattern, by] of EVERYWHERE) check(replace(pattern, by), pattern);
  for (const [pattern, by, sign] of WHERE_FOUND) if (text.includes(sign)) check(replace(pattern, by), pattern);
  return shortenImports(text);
}
