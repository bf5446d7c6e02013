import { existsSync } from 'node:fs';
import { defineConfig } from '@playwright/test';

// The system's own Chromium, never a downloaded one. CHROMIUM names another.
const chromium = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path !== undefined && existsSync(path),
);
if (chromium === undefined) throw new Error('The browser tests need Chromium. On Debian: sudo apt-get install chromium');

// What Playwright switches off of the browser, and after it what a window is made of beside the page: a list of suggestions
// under the address field costs half a second of a core for every context, and nobody here types an address.
const without = [
  'AvoidUnnecessaryBeforeUnloadCheckSync', 'DestroyProfileOnBrowserClose', 'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable', 'LensOverlay',
  'MediaRouter', 'PaintHolding', 'ThirdPartyStoragePartitioning', 'AvoidCorsURLLoaderRestartOnRedirect', 'OptimizationHints',
  'NetworkTimeServiceQuerying', 'AimEnabled', 'PreconnectToSearch',
  'PreloadTopChromeWebUI', 'WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'WebUIOmniboxFullPopup',
];

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  // Each file starts its own relay and home and often waits: two at a time keep two cores busy, and three make them late.
  workers: 2,
  fullyParallel: false,
  retries: 0,
  forbidOnly: process.env['CI'] === 'true',
  timeout: 180_000,
  // Long, for a busy machine: what is waited for is the thing itself, so nothing is slower for it.
  expect: { timeout: 30_000 },
  reporter: 'list',
  use: {
    browserName: 'chromium',
    actionTimeout: 30_000,
    navigationTimeout: 40_000,
    // A third more work for each step: `npx playwright test --trace retain-on-failure` when one is looked for.
    trace: 'off',
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
        `--disable-features=${without.join(',')}`,
      ],
    },
  },
});
