// Builds page.js as the app is built, opens it in the system's Chromium and prints what it measured, as JSON.
//   node scripts/load/browser/run.mjs DIRECTORY LETTERS
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
// The packages are the app's.
const require = createRequire(join(here, '../../../frontend/package.json'));
const { build } = await import(pathToFileURL(require.resolve('vite')).href);
const { chromium } = require('@playwright/test');

const [out, letters] = [process.argv[2], Number(process.argv[3])];
const executablePath = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => path && existsSync(path));
if (!executablePath) throw new Error('This needs Chromium. On Debian: sudo apt-get install chromium');

await build({
  configFile: false, root: here, logLevel: 'error',
  build: {
    outDir: out, emptyOutDir: true, target: 'chrome133',
    rolldownOptions: { input: join(here, 'page.js'), output: { entryFileNames: 'page.js' } },
  },
});

const files = {
  '/': ['text/html', '<!doctype html><meta charset="utf-8"><title>bench</title><script type="module" src="/page.js"></script>'],
  '/page.js': ['text/javascript', await readFile(join(out, 'page.js'))],
};
const server = createServer((request, answer) => {
  const [type, content] = files[request.url] ?? [undefined, ''];
  // Isolated pages get a clock of 5 µs instead of 100.
  answer.writeHead(type ? 200 : 404, {
    'Content-Type': type ?? 'text/plain', 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp',
  });
  answer.end(content);
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => globalThis.crossOriginIsolated && typeof globalThis.measure === 'function');
  const devtools = await page.context().newCDPSession(page);
  const runs = [];
  for (const slower of [1, 4]) {
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: slower });
    runs.push({ slower, ...(await page.evaluate((n) => globalThis.measure(n), slower === 1 ? letters : Math.ceil(letters / slower))) });
  }
  console.log(JSON.stringify({ browser: `Chromium ${browser.version()}`, runs }));
} finally {
  await browser.close();
  server.close();
}
