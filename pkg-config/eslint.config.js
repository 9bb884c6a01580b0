import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Globals that the tests use; named here so that a mistyped name is still found. */
const testGlobals = [
  'AbortController', 'AbortSignal', 'Blob', 'Buffer', 'DOMException', 'Event', 'EventTarget', 'MessageChannel',
  'ReadableStream', 'Request', 'Response', 'TextDecoder', 'TextEncoder', 'URL', 'WebAssembly', 'clearTimeout', 'console',
  'crypto', 'document', 'fetch', 'performance', 'process', 'setTimeout', 'structuredClone',
];

export default tseslint.config(
  // Compiled, against the emitted declarations, by tests/js/types.test.mjs.
  { ignores: ['**/*.test-d.ts'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: ['./tsconfig.json', './tsconfig.cli.json'], tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // An empty string is as good as none.
      '@typescript-eslint/prefer-nullish-coalescing': ['error', { ignorePrimitives: { string: true, number: true } }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // `Tensor.Type` and `InferenceSession.RunOptions` are onnxruntime-common's names: types merged with a class.
      '@typescript-eslint/no-namespace': ['error', { allowDeclarations: true }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.mjs', '**/*.cjs', '**/*.js', '**/*.jsx'],
    languageOptions: { globals: Object.fromEntries(testGlobals.map((name) => [name, 'readonly'])) },
    rules: { eqeqeq: ['error', 'always', { null: 'ignore' }] },
  },
  { files: ['**/*.jsx'], languageOptions: { parserOptions: { ecmaFeatures: { jsx: true } } } },
  {
    // Code of pages: the type checker knows every global there is. Examples: each has the globals of its environment.
    files: ['**/www/**/*.js', '**/tests/e2e/**', '**/benches/**', '**/examples/**'],
    rules: { 'no-undef': 'off' },
  },
);
