import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    pool: 'forks',
    // ONNX Runtime's own threads fill the cores; two workers would fight over them.
    maxWorkers: 1,
  },
})
