import { defineConfig } from '@playwright/test';
import base from './playwright.config';

/** For scripts/natlab, which starts this and says what is to be done; see tests/lab. */
export default defineConfig(base, {
  testDir: 'tests/lab',
  testMatch: '*.lab.ts',
  outputDir: process.env['NATLAB_OUTPUT'] ?? 'test-results/lab',
  workers: 1,
  // Its own bounds are finer: scripts/nat gives each thing to be done a time.
  timeout: 0,
  reporter: 'line',
});
