import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { compiledSources } from './test/compiled-sources.ts'

/** The package by its own name, as documents and examples import it, is the sources as they are now. */
const source = (file: string): string => join(import.meta.dirname, 'src', file)

const alone = [
  'test/e2e/*.test.ts',
  'test/documents/*.test.ts',
  'test/golden/conformance.test.ts',
  'test/unit/{no-adapter,ranks-training,telemetry,xla-plugin,examples}.test.ts',
]

// Who watches edits sources, which are compiled once.
const isWatching = !process.argv.some((word) => word === 'run' || word === '--run')

export default defineConfig({
  plugins: isWatching ? [] : [compiledSources],
  resolve: {
    alias: [
      { find: /^latentgraph$/, replacement: source('index.ts') },
      { find: /^latentgraph\/laws$/, replacement: source('laws/index.ts') },
      { find: /^latentgraph\/browser$/, replacement: source('browser.ts') },
    ],
  },
  test: {
    projects: [
      // What changes its process, or ends it, has one of its own; the others share theirs, and so what they import.
      { extends: true, test: { name: 'alone', include: alone } },
      { extends: true, test: { name: 'together', isolate: false, include: ['test/**/*.test.ts'], exclude: alone } },
    ],
    globalSetup: ['test/compiled.ts'],
    setupFiles: ['test/seeded.ts'],
    server: { deps: { external: [/\/dist\/e2e-\d+\//] } },
    testTimeout: 300_000,
    pool: 'forks',
    // ONNX Runtime's threads wait for each other by spinning: a thread for each of two files, and none waits.
    maxWorkers: 2,
    env: { LATENTGRAPH_THREADS: '1' },
  },
})
