import { svelte } from '@sveltejs/vite-plugin-svelte';
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';
import { apiOf, confine } from './build/confine';
import { precache } from './build/precache';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as { version: string };

/** `https://relay.example`: builds an app that any web server may serve, for the people of that courtyard (scripts/build static). */
const api = apiOf(process.env['COURTYARD_API']);

// The app lives under /app/ on its relay; invite links (/i/…) serve the same page. Served from elsewhere it lives wherever its folder is.
export default defineConfig({
  base: api === undefined ? '/app/' : './',
  plugins: [svelte(), precache(), ...(api === undefined ? [] : [confine(api)])],
  define: { __VERSION__: JSON.stringify(version), __API__: api === undefined ? 'undefined' : JSON.stringify(api) },
  build: {
    // Whoever has X25519 and Ed25519 in WebCrypto has all of this.
    target: ['es2023', 'chrome133', 'safari17.5', 'firefox130'],
    sourcemap: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        chunkFileNames: 'assets/[name]-[hash].js',
        entryFileNames: 'assets/[name]-[hash].js',
        // What the first screen needs of the protocol is one file: many small ones compress worse.
        codeSplitting: {
          groups: [{ name: 'protocol', test: /\/src\/protocol\/(?:address|bytes|code|envelope|invite|jpeg|json|keys|message|primitives|problem|signed|vault)\.ts$/u }],
        },
      },
    },
  },
  server: { proxy: { '/api': { target: 'http://127.0.0.1:8787', ws: true } } },
});
