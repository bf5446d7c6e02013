import svelte from 'eslint-plugin-svelte';
import { fileURLToPath } from 'node:url';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

const root = fileURLToPath(new URL('.', import.meta.url));

export default ts.config(
  { ignores: ['dist/', 'node_modules/', 'test-results/', 'eslint.config.js', 'svelte.config.js'] },
  ...ts.configs.strictTypeChecked,
  ...ts.configs.stylisticTypeChecked,
  ...svelte.configs.recommended,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: root, extraFileExtensions: ['.svelte'], svelteConfig },
    },
    rules: {
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unnecessary-condition': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      eqeqeq: 'error',
      'no-eval': 'error',
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'Export by name.' }],
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser } },
    rules: {
      'svelte/no-at-html-tags': 'error',
      'svelte/require-each-key': 'error',
      // Addresses are made by the router, which is ours: there is no SvelteKit here.
      'svelte/no-navigation-without-resolve': 'off',
      // A derived value that is read in a condition may change in between; the checker does not see that.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // The linter sees what a component exports as `any`; svelte-check knows better and looks at it.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      // Short-lived values of a function, and a cache: nothing that a view is drawn from.
      'svelte/prefer-svelte-reactivity': 'off',
    },
  },
  // The English catalogue is what the type of all catalogues is taken from.
  { files: ['src/i18n/en.ts', 'src/i18n/en/**'], rules: { '@typescript-eslint/explicit-module-boundary-types': 'off' } },
  { files: ['*.config.ts', 'tests/**'], rules: { 'no-restricted-syntax': 'off' } },
);
