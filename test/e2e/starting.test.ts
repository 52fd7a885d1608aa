import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli } from '../../src/cli/program.ts'

/** The way to one's own model, on pictures of 16 pixels: what is seen of it before it is trained. */

const running = async (...args: readonly string[]) => {
  const texts = { out: '', err: '' }
  const code = await cli(args, {
    out: (text) => {
      texts.out += text
    },
    err: (text) => {
      texts.err += text
    },
  })
  return { code, ...texts }
}

const dots = {
  name: 'dots',
  executor: 'onnx:cpu',
  data: { kind: 'shapes', size: 16, count: 12, heldOut: 2 },
  firstStage: { kind: 'identity' },
  diffusion: {
    schedule: { kind: 'cosine', timesteps: 20 },
    unet: {
      inChannels: 3,
      outChannels: 3,
      modelChannels: 32,
      channelMultipliers: [1],
      resBlocks: 1,
      attentionFactors: [],
      heads: { by: 'channels', channels: 32 },
    },
    training: {
      steps: 4000,
      batchSize: 2,
      optimizer: { kind: 'adam' },
      learningRate: { kind: 'warm-up-cosine', rate: 1e-3, warmUp: 100 },
      validate: { every: 500, pictures: 2 },
    },
  },
  sampling: { sampler: 'ddim', steps: 3, perClass: 2 },
}

const state = { folder: '', temporary: process.env.TMPDIR }
const at = (...path: readonly string[]): string => join(state.folder, ...path)
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-starting-'))
  process.env.TMPDIR = state.folder
  await writeFile(at('dots.json'), JSON.stringify(dots))
})
afterAll(async () => {
  if (state.temporary === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = state.temporary
  await rm(state.folder, { recursive: true })
})

test('a dry run does everything once, goes on after a stop, and keeps nothing', async () => {
  const { code, out, err } = await running('train', at('dots.json'), '--dry-run')
  expect(code, err).toBe(0)
  expect(out).toMatch(/^all of it works, in \d/)
  const told = err.split('\n').filter((line) => /^(diffusion:|going on|samples)/.test(line))
  expect(told.map((line) => line.replace(/loss .*/, 'loss'))).toEqual([
    'diffusion: step 1, loss',
    'diffusion: saved after step 1',
    'going on where it was stopped',
    'diffusion: validated after step 1',
    'diffusion: preview after step 1',
    'diffusion: step 2, loss',
    'diffusion: validated after step 2',
    'diffusion: saved after step 2',
    'diffusion: preview after step 2',
    'samples and report written',
  ])
  expect(await readdir(state.folder)).toEqual(['dots.json'])
})

test('a dry run that fails says why, and keeps nothing', async () => {
  const nowhere = '/data={"kind":"folder","path":"nowhere","size":16}'
  const { code, err } = await running('train', at('dots.json'), '--dry-run', '--set', nowhere)
  expect(code).toBe(1)
  expect(err).toContain(at('nowhere'))
  expect(await readdir(state.folder)).toEqual(['dots.json'])
  expect(await readFile(at('dots.json'), 'utf8')).toBe(JSON.stringify(dots))
})
