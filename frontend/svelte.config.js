import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

// Svelte's tools ask for a default export; the app's own modules have none.
export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: true },
};
