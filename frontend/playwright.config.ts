import { existsSync } from 'node:fs';
import { defineConfig } from '@playwright/test';

function first(...paths: (string | undefined)[]): string | undefined {
  return paths.find((path) => path !== undefined && existsSync(path));
}

// The system's own Chromium, never a downloaded one. CHROMIUM names another.
const whole = first(process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser');
if (whole === undefined) throw new Error('The browser tests need Chromium. On Debian: sudo apt-get install chromium');
// Debian packs it a second time without its window: the same pages for three quarters of the work. The long run takes the whole
// one, as what needs more of a browser than its pages always does, and scripts/natlab.
const chromium = process.env['CHROMIUM'] === undefined && process.env['COURTYARD_LONG'] !== '1' ? (first('/usr/bin/chromium-headless-shell') ?? whole) : whole;

// What Playwright switches off of the browser, and after it what a window is made of beside the page: a list of suggestions
// under the address field costs half a second of a core for every context, and nobody here types an address.
const without = [
  'AvoidUnnecessaryBeforeUnloadCheckSync', 'DestroyProfileOnBrowserClose', 'HttpsUpgrades', 'HttpsFirstBalancedModeAutoEnable', 'LensOverlay',
  'MediaRouter', 'PaintHolding', 'ThirdPartyStoragePartitioning', 'AvoidCorsURLLoaderRestartOnRedirect', 'OptimizationHints',
  'NetworkTimeServiceQuerying', 'AimEnabled', 'PreconnectToSearch',
  'PreloadTopChromeWebUI', 'WebUIOmniboxPopup', 'WebUIOmniboxAimPopup', 'WebUIOmniboxFullPopup',
];

const config = defineConfig({
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

export default config;

/** For test.use: a Chromium with its window. */
export const windowed = { launchOptions: { ...config.use?.launchOptions, executablePath: whole } };
