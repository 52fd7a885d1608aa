import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { koffiOf } from '../../src/execute/native/koffi.ts'
import { E } from '../../src/prelude.ts'
import { skipped, suiteOn } from '../arbitrary/executors.ts'
import { dots } from '../dots.ts'
import { freePort } from '../free-port.ts'
import { compiled, drawPictures, tiny, type Workplace, workplace } from './program.ts'

/** Two processes that belong together: what they tell each other, through the C functions that a plugin is given too. */

const held: { place?: Workplace; folder?: string } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
beforeAll(async () => {
  held.place = await workplace()
  held.folder = await mkdtemp(join(tmpdir(), 'latentgraph-ranks-e2e-'))
}, 120_000)
afterAll(async () => {
  await held.place?.dispose()
  if (held.folder !== undefined) await rm(held.folder, { recursive: true })
})

const script = join(import.meta.dirname, 'ranks-process.js')
/** Both ranks to their end: what rank 0 has said, and by which signal rank 1 has ended. */
const both = async (...args: readonly string[]) => {
  const port = String(await freePort())
  const experiment = { ...dots, diffusion: { ...dots.diffusion, training: { ...training, steps: 400 } } }
  const env = { ...process.env, DOTS: JSON.stringify({ dots: experiment }) }
  const [zero, one] = ['0', '1'].map((rank) =>
    spawn(process.execPath, [script, compiled, port, rank, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] }),
  )
  if (zero === undefined || one === undefined) return expect.unreachable('no processes')
  let out = ''
  zero.stdout.on('data', (text) => {
    out += text
  })
  const [[code], [, signal]] = await Promise.all([once(zero, 'close'), once(one, 'close')])
  return { code, signal, said: JSON.parse(out) }
}
const training = {
  ...{ batchSize: 2, previewEvery: 400, checkpointEvery: 2, logEvery: 1 },
  ...{ optimizer: { kind: 'adam' }, learningRate: { kind: 'constant', rate: 1e-3 } },
}

describe('two processes', () => {
  test('train together; where one is killed the other ends soon, with one error and a whole checkpoint', async () => {
    const folder = join(held.folder ?? '', 'run')
    const { code, signal, said } = await both('training', folder)
    expect([code, signal]).toEqual([0, 'SIGKILL'])
    expect(said.left).toHaveLength(1)
    expect(said.left[0]).toMatchObject({ tag: 'run', expected: 'rank 1 to stay to the end' })
    const left = await readdir(folder, { recursive: true })
    expect(left).toContain('diffusion/checkpoints/step-00000002')
    expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

const called = () => {
  test('have what the other has put, and an error where there is nothing', async () => {
    const { code, signal, said } = await both('pointers')
    expect([code, signal]).toEqual([0, 'SIGKILL'])
    expect(said).toMatchObject({
      found: ['put', 'of rank 1 '.length + 50_000, 'of rank 0'],
      missing: [
        { code: 5 },
        { code: 4, message: expect.stringContaining('nothing: no rank has put it within 0.03 s') },
      ],
      there: [true, ''],
      lost: { code: 14, message: expect.stringContaining('rank 1 to stay to the end') },
    })
  })
}
const koffi = await koffiOf()
const title = 'two processes, through the C functions of their store'
if (E.isRight(koffi) && process.platform === 'linux') describe(title, called)
else skipped(title, 'the package koffi, on Linux, calls them')

await suiteOn('xla:cpu', 'two processes of the command line, on xla:cpu', () => {
  test('come as far as the plugin, which joins no others, and say so', async () => {
    await drawPictures(join(place().dir, 'pictures'))
    const coordinator = `127.0.0.1:${await freePort()}`
    const data = JSON.stringify({ kind: 'folder', path: 'pictures', size: 16, heldOut: 6 })
    const ranks = ['0', '1'].map((rank) =>
      place().run([
        ...['train', tiny, '--set', `/data=${data}`, '--out', 'run', '--executor', 'xla:cpu'],
        ...['--ranks', '2', '--rank', rank, '--coordinator', coordinator],
      ]),
    )
    for (const [rank, { code, err }] of (await Promise.all(ranks)).entries()) {
      expect(code, err).toBe(1)
      expect(err).toContain(`rank ${rank} of 2: waiting for the others at ${coordinator}`)
      expect(err).toMatch(/cannot join several processes|rank \d to stay to the end/)
    }
    expect(await readdir(place().dir)).toEqual(['pictures'])
  })
})
