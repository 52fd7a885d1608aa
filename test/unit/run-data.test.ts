import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Experiment } from '../../src/experiment/document.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { scratch } from '../../src/io/scratch.ts'
import { E } from '../../src/prelude.ts'
import { type Memory, memoryLine, memoryRule } from '../../src/train/memory.ts'
import { prepare } from '../../src/train/prepare.ts'
import { right } from '../arbitrary/run.ts'

/** What a run is told of its data and of the machine before its first step. */

const state = { folder: '' }
const at = (...path: readonly string[]): string => join(state.folder, ...path)
const tiny = join(import.meta.dirname, '../../graphs/tiny.json')
const draw = async (path: string, seed: number) => {
  await mkdir(dirname(path), { recursive: true })
  const raw = Uint8Array.from({ length: 48 }, (_, i) => (seed * 31 + i * (seed + 5)) % 256)
  await sharp(raw, { raw: { width: 4, height: 4, channels: 3 } })
    .png()
    .toFile(path)
}
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-run-data-'))
  for (let i = 0; i < 60; i++) await draw(at('mine', i % 2 === 0 ? 'a' : 'b', `${i}.png`), i)
  for (let i = 0; i < 4; i++) await draw(at('told', `${i}.png`), i)
  const lines = [0, 1, 2, 3].map((i) => ({ file_name: `${i}.png`, text: 'words', class: i < 2 ? 'x' : 'y' }))
  await writeFile(at('told', 'metadata.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
})
afterAll(() => rm(state.folder, { recursive: true }))

const experiment = async (...sets: readonly string[]): Promise<Experiment> => right(await loadExperiment(tiny, sets)())
const folder = (path: string) => `/data=${JSON.stringify({ kind: 'folder', path: at(path), size: 16 })}`
const unconditional = ['/diffusion/conditioning={"kind":"none"}', '/sampling/guidance=1']

describe('own pictures', () => {
  it('of a folder of 60 a tenth is held out where nobody says how many', async () => {
    const { data, dataset } = right(await prepare(await experiment(folder('mine')), 'onnx:cpu')())
    expect([data.train.n, data.heldOut.n, dataset.classes]).toEqual([54, 6, ['a', 'b']])
  })

  it('captions and classes that nothing reads are said', async () => {
    const notes = async (...sets: readonly string[]) =>
      right(await prepare(await experiment(folder('told'), ...sets), 'onnx:cpu')()).data.notes
    expect(await notes()).toContain('captions of 4 pictures: nothing of this experiment reads them')
    expect((await notes()).join()).not.toContain('classes')
    expect(await notes(...unconditional)).toContain('2 classes: nothing of this experiment reads them')
  })
})

describe('memory', () => {
  const gib = 2 ** 30
  const memory: Memory = {
    pictures: 2 * gib,
    steps: { 'first-stage': 3 * gib, diffusion: 5 * gib },
    previews: gib,
    latents: gib / 2,
    whole: 7.3 * gib,
  }
  it('is refused by what takes most, on the machine that it would be taken from', () => {
    expect(memoryRule(memory, 8 * gib, 'onnx:cpu')).toEqual([])
    expect(memoryRule(memory, 7 * gib, 'onnx:webgpu')).toEqual([])
    expect(memoryRule(memory, 7 * gib, 'onnx:cpu')).toMatchObject([
      { at: '/diffusion/training/batchSize', expected: expect.stringContaining('7.0 GiB') },
    ])
    expect(memoryRule(memory, 2 * gib, 'onnx:webgpu')).toMatchObject([{ at: '/data/size' }])
    expect(memoryRule({ ...memory, previews: 6 * gib }, gib, 'reference')).toMatchObject([{ at: '/data/size' }])
  })

  it('is a line of what is reckoned', () => {
    expect(memoryLine(memory, 24 * gib)).toBe(
      'memory: about 7.3 GiB of 24.0 GiB (pictures 2.0 GiB, a step of first-stage 3.0 GiB, a step of diffusion 5.0 GiB, previews 1.0 GiB, the program 350 MiB); latents: 512 MiB on the disk',
    )
  })

  it('that no machine has is an error before a picture is decoded', async () => {
    const sets = ['/data/size=2048', '/firstStage/network/resolution=2048', '/firstStage/training/batchSize=4096']
    const large = await prepare(
      await experiment(
        ...sets,
        ...unconditional,
        '/diffusion/unet/attentionFactors=[]',
        '/diffusion/training/batchSize=1',
      ),
      'onnx:cpu',
    )()
    expect(E.isLeft(large) ? large.left : []).toMatchObject([
      {
        tag: 'config',
        at: '/firstStage/training/batchSize',
        expected: expect.stringContaining('memory of this machine'),
        got: expect.stringContaining('pictures 19.2 GiB'),
      },
    ])
  })
})

describe('rows on the disk', () => {
  it('come back in any order, and leave no file', async () => {
    const { append, read, close } = right(await scratch(at('rows'), 3)())
    right(await append(Float32Array.of(0, 1, 2, 10, 11, 12))())
    right(await append(Float32Array.of(20, 21, 22))())
    expect(await readdir(at('rows'))).toEqual([])
    expect([...right(await read([2, 0, 2])())]).toEqual([20, 21, 22, 0, 1, 2, 20, 21, 22])
    expect(await read([3])()).toMatchObject({ left: [{ tag: 'file' }] })
    right(await close())
  })
})
