import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts'], environment: 'node', testTimeout: 60_000, hookTimeout: 60_000,
    // The long ones wait for a relay of their own; left alone, vitest would run one at a time on two cores.
    maxWorkers: 2,
  },
});
