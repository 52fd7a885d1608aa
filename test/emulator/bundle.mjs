// @ts-check
// One folder of plain JavaScript from a program or a test file: node bundle.mjs FILE FOLDER
import { copyFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const [file = '', folder = ''] = process.argv.slice(2).map((path) => resolve(path))
const own = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url))
const root = own('../../')
const bundle = await rolldown({
  input: file,
  cwd: root,
  platform: 'node',
  external: ['koffi', 'wabt', 'onnxruntime-node', 'onnxruntime-web', '@tensorflow/tfjs-node', 'webgpu', 'sharp'],
  resolve: {
    alias: {
      vitest: own('vitest.ts'),
      'latentgraph/laws': join(root, 'src/laws/index.ts'),
      'latentgraph/browser': join(root, 'src/browser.ts'),
      latentgraph: join(root, 'src/index.ts'),
    },
  },
  onLog: (level, log, say) => (level === 'warn' ? undefined : say(level, log)),
})
await bundle.write({
  dir: folder,
  format: 'esm',
  entryFileNames: 'main.mjs',
  chunkFileNames: '[name]-[hash].mjs',
})
// Threads start from files of their own.
for (const name of ['member.js', 'turn.js']) copyFileSync(join(root, 'src/execute/onednn', name), join(folder, name))
writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
