import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** `training.js EXECUTOR ROOT DIR DATA`: a short training twice, and once stopped and gone on with: all three give the same bits, or it is told. */

const [, , executor = '', root = '', dir = '', data = ''] = process.argv
const args = (run: string, ...more: readonly string[]): string[] => [
  join(root, 'dist/src/cli/main.js'),
  ...['train', join(root, 'graphs/tiny.json'), '--out', join(dir, run), '--executor', executor, '--set', data],
  ...more,
]
const train = (run: string, ...more: readonly string[]) =>
  promisify(execFile)(process.execPath, args(run, ...more), { maxBuffer: 2 ** 26 })
const checkpoint = (run: string, step: number): string =>
  join(dir, run, 'diffusion', 'checkpoints', `step-${String(step).padStart(8, '0')}`)
const hashOf = async (run: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(join(checkpoint(run, 12), 'parameters.safetensors')))
    .digest('hex')
    .slice(0, 16)
/** Stopped as soon as the second stage has its first checkpoint. */
const stopped = (run: string): Promise<void> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args(run), { stdio: 'ignore' })
    const watch = setInterval(() => {
      if (existsSync(checkpoint(run, 4))) child.kill('SIGINT')
    }, 20)
    child.once('exit', () => {
      clearInterval(watch)
      resolve()
    })
  })

await rm(dir, { recursive: true, force: true })
const started = performance.now()
await train('straight')
const seconds = (performance.now() - started) / 1000
await train('again')
await stopped('stopped')
await train('stopped', '--resume')
const [straight, again, resumed] = await Promise.all(['straight', 'again', 'stopped'].map(hashOf))
console.log(`${executor}: 12 and 12 steps in ${seconds.toFixed(1)} s, compiling included`)
console.log(`the same again: ${straight === again ? 'the same bits' : 'other bits'}`)
console.log(`stopped and gone on with: ${straight === resumed ? 'the same bits' : 'other bits'}`)
process.exit(straight === again && straight === resumed ? 0 : 1)
