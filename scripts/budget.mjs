// Weighs the script that the first screen loads: what index.html names, what those files import at once, and the words of
// one language, the heaviest of them.
// Prints the gzip size of each and fails above the budget. Needs a built app (scripts/app).
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const budget = 120_000; // bytes, gzip
const dist = join(dirname(fileURLToPath(import.meta.url)), '..', 'frontend', 'dist');
const base = '/app/';

const page = readFileSync(join(dist, 'index.html'), 'utf8');
const first = [...page.matchAll(/<(?:script|link)\b[^>]*?\b(?:src|href)="([^"]+\.js)"[^>]*>/g)].map((match) => match[1]);
if (first.length === 0) throw new Error('index.html names no script');

const sizes = new Map();
const weigh = (url) => {
  const path = url.startsWith(base) ? url.slice(base.length) : url.replace(/^\//, '');
  if (sizes.has(path)) return;
  const script = readFileSync(join(dist, path));
  sizes.set(path, gzipSync(script, { level: 9 }).length);
  // Static imports only: `import … from "./x.js"`, `import "./x.js"`, `export … from "./x.js"`.
  for (const match of script.toString('utf8').matchAll(/(?:^|[;}\s])(?:import|export)\s*(?:[\w*{}\s,$]+?from\s*)?["'](\.{1,2}\/[^"']+\.js)["']/g)) {
    weigh(base + posix.normalize(posix.join(posix.dirname(path), match[1])));
  }
};
first.forEach(weigh);

// The first screen's words; those of other rooms come with them.
const words = readdirSync(join(dist, 'assets')).filter((name) => /^(?:en|zh-Hans|zh-Hant)-[\w-]+\.js$/.test(name));
for (const language of ['en', 'zh-Hans', 'zh-Hant']) {
  if (!words.some((name) => name.startsWith(`${language}-`))) throw new Error(`no words in ${language}: ${words.join(' ')}`);
}
const heaviest = words
  .map((name) => ({ path: `assets/${name}`, size: gzipSync(readFileSync(join(dist, 'assets', name)), { level: 9 }).length }))
  .reduce((one, other) => (one.size >= other.size ? one : other));
sizes.set(heaviest.path, heaviest.size);

let total = 0;
for (const [path, size] of sizes) {
  console.log(`${String(size).padStart(8)}  ${path}`);
  total += size;
}
console.log(`${String(total).padStart(8)}  bytes of script (gzip) before the first screen, in the language with the most words; budget ${budget}`);
if (total > budget) process.exit(1);
