/** Builds src/sw.ts into dist/sw.js and tells it which files of this build to keep. Nothing else may run in it. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformWithOxc, type Plugin } from 'vite';

/** What only some ever need, and only with a network: kept from its first use on. The scanner, the table of the world's scripts. */
const ON_DEMAND = ['/node_modules/zxing-wasm/', '/node_modules/any-ascii/'];
/** The wasm of the scanner; and pictures: the system asked for its icon when it was made. */
const UNASKED = /\.(?:png|wasm|map)$/;
/** Whatever is larger has no business in what everybody fetches unasked. */
const LARGEST = 200 * 1024;
const source = fileURLToPath(new URL('../src/sw.ts', import.meta.url));

export function precache(): Plugin {
  let publicDir = '';
  return {
    name: 'courtyard-precache',
    apply: 'build',
    configResolved(config) {
      publicDir = config.publicDir;
    },
    // After Vite's own, which adds the page.
    generateBundle: {
      order: 'post',
      async handler(_options, bundle) {
        const files = new Map<string, Uint8Array>();
        const later = new Set<string>();
        for (const [name, output] of Object.entries(bundle)) {
          files.set(name, Buffer.from(output.type === 'chunk' ? output.code : output.source));
          if (output.type === 'chunk' && output.moduleIds.some((id) => ON_DEMAND.some((folder) => id.includes(folder)))) later.add(name);
        }
        for (const path of below(publicDir)) files.set(relative(publicDir, path), readFileSync(path));
        if (!files.has('index.html')) this.error('the page is not in the bundle');
        const kept = [...files].filter(([name]) => !later.has(name) && !UNASKED.test(name));
        for (const [name, { length }] of kept) if (length > LARGEST) this.error(`${name} is too large to be kept from the start: ${String(length)} bytes`);
        const names = ['index.html', ...kept.map(([name]) => name).filter((name) => name !== 'index.html').sort()];

        // All of them count, also those that are not kept from the start: the page names them.
        const digest = createHash('sha256');
        for (const name of [...files.keys()].sort()) digest.update(name).update('\0').update(files.get(name) ?? '').update('\0');
        const version = digest.digest('base64url').slice(0, 16);
        const { code } = await transformWithOxc(readFileSync(source, 'utf8'), source);
        const constants = `const VERSION = ${JSON.stringify(version)};\nconst FILES = ${JSON.stringify(names)};\n`;
        // A classic script: modules in workers came late to Firefox.
        this.emitFile({ type: 'asset', fileName: 'sw.js', source: constants + code.replace(/^export\s*\{\s*\};?\s*$/m, '') });
      },
    },
  };
}

function below(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name.startsWith('.')) return [];
    return statSync(path).isDirectory() ? below(path) : [path];
  });
}
