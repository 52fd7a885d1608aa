import { defineConfig } from 'vitest/config'

/** The package by its own name, as documents and examples import it, is the sources as they are now. */
const source = (file: string): string => new URL(`src/${file}`, import.meta.url).pathname

export default defineConfig({
  resolve: {
    alias: [
      { find: /^latentgraph$/, replacement: source('index.ts') },
      { find: /^latentgraph\/laws$/, replacement: source('laws/index.ts') },
      { find: /^latentgraph\/browser$/, replacement: source('browser.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/compiled.ts'],
    setupFiles: ['test/seeded.ts'],
    testTimeout: 300_000,
    pool: 'forks',
    // ONNX Runtime's threads wait for each other by spinning: a thread for each of two files, and none waits.
    maxWorkers: 2,
    env: { LATENTGRAPH_THREADS: '1' },
  },
})
