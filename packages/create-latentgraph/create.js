#!/usr/bin/env node
/** `latentgraph new`, with all that it was given. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const latentgraph = dirname(createRequire(import.meta.url).resolve('latentgraph/package.json'))
const { status, error } = spawnSync(
  process.execPath,
  [join(latentgraph, 'dist/src/cli/main.js'), 'new', ...process.argv.slice(2)],
  { stdio: 'inherit' },
)
if (error !== undefined) console.error(error.message)
process.exitCode = status ?? 1
