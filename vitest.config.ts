import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 300_000,
    pool: 'forks',
    // ONNX Runtime's threads wait for each other by spinning: a thread for each of two files, and none waits.
    maxWorkers: 2,
    env: { LATENTGRAPH_THREADS: '1' },
  },
})
