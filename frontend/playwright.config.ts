import { existsSync } from 'node:fs';
import { defineConfig } from '@playwright/test';

// The system's own Chromium, never a downloaded one. CHROMIUM names another.
const chromium = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path !== undefined && existsSync(path),
);
if (chromium === undefined) throw new Error('The browser tests need Chromium. On Debian: sudo apt-get install chromium');

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  // Each file starts its own relay and home and often waits: on two cores two at a time leave a third of them idle, three an eighth.
  workers: 3,
  fullyParallel: false,
  retries: 0,
  forbidOnly: process.env['CI'] === 'true',
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: 'list',
  use: {
    browserName: 'chromium',
    actionTimeout: 15_000,
    navigationTimeout: 20_000,
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: chromium,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
});
