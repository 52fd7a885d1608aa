import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    pool: 'forks',
    // ONNX Runtime fills all cores, but more than half of the time only one is at work; more files at once would fight.
    maxWorkers: 2,
  },
})
