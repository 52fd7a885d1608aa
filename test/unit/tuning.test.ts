import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drawKey, fillNormal } from '../../src/distributions/random.ts'
import { type Checked, type Effect, showErrors } from '../../src/error.ts'
import { executorByName } from '../../src/execute/auto.ts'
import type { Executor, Value, Values } from '../../src/execute/executor.ts'
import { floats } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { unconditional } from '../../src/experiment/conditioner.ts'
import { controlRules } from '../../src/experiment/control.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { latentDiffusion, samplingProgram } from '../../src/experiment/diffusion-stage.ts'
import type { Experiment } from '../../src/experiment/document.ts'
import { placedBy } from '../../src/experiment/load.ts'
import { inversionLeaf } from '../../src/experiment/new-word.ts'
import { diffusedOf, spaceOf } from '../../src/experiment/space.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { withWord } from '../../src/pipelines/inversions.ts'
import type { Request } from '../../src/pipelines/request.ts'
import { embeddedTexts } from '../../src/pipelines/texts.ts'
import { publishedBase } from '../../src/pipelines/tuned.ts'
import { completed } from '../../src/pipelines/tuning.ts'
import { E } from '../../src/prelude.ts'
import { beginsOf } from '../../src/train/base.ts'
import { encodeCaptions } from '../../src/train/captions-ahead.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { initialParameters } from '../../src/train/state.ts'
import { smallModel, writeSmallModel } from '../published-model.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const awaited = async <A>(x: Effect<A>): Promise<A> => right(await x())

const state = { dir: '' }
beforeAll(async () => {
  state.dir = await mkdtemp(join(tmpdir(), 'latentgraph-tuning-'))
  await writeSmallModel(join(state.dir, 'model'))
}, 60_000)
afterAll(() => rm(state.dir, { recursive: true }))

const training = {
  steps: 1,
  batchSize: 1,
  optimizer: { kind: 'adam' },
  learningRate: { kind: 'constant', rate: 1e-3 },
}
const experimentOf = async (adapter: object, more: object = {}): Promise<Experiment> => {
  const document = {
    name: 'tuned',
    data: { kind: 'shapes', size: 16, count: 4 },
    ...more,
    adapter: { ...adapter, of: join(state.dir, 'model') },
    training,
  }
  return right(decodeExperiment((await awaited(completed(document))).document))
}

/** What training tells the network of captions. */
const toldIn = async (e: Experiment, captions: readonly string[]): Promise<Values> => {
  const base = await awaited(publishedBase(join(state.dir, 'model'), e))
  if (e.diffusion === undefined || base.tokens === undefined) throw new Error('no model of texts')
  const trained = right(latentDiffusion(e.diffusion, diffusedOf(e), 0))
  // With a word that is learnt, captions are encoded at each step: here once, as it begins.
  const { ahead } = trained.conditioner
  const model = { ...trained, conditioner: { ...trained.conditioner, ...(ahead ? { learntAhead: ahead } : {}) } }
  const data = {
    n: captions.length,
    about: (i: number) => ({ name: '', bytes: 0, sha256: '', caption: captions[i] ?? '' }),
  }
  const weights = { ...base.diffusion, ...base.begins }
  const told = await awaited(encodeCaptions(reference, model, weights, { tokens: base.tokens, data, dir: state.dir }))
  const values = await awaited(told.read(captions.map((_, i) => i)))
  await awaited(told.close)
  return values
}
const request = (prompt: readonly string[]): Request => ({
  ...{ count: prompt.length, height: 16, width: 16, steps: 1, guidance: 1, guidanceRescale: 0, pictureGuidance: 1 },
  ...{ eta: 0, strength: 1, clipSkip: 0, prompt },
})
const farthest = (a: Value | undefined, b: Value | undefined): number => {
  expect(a?.shape).toEqual(b?.shape)
  return Math.max(...Array.from(a?.data ?? [Number.NaN], (x, i) => Math.abs(x - (b?.data[i] ?? Number.NaN))))
}
const captions = ['a red circle', 'a blue square left of a red circle', 'a red circle', '']

describe('what training beside a published model tells the network', () => {
  it('is what drawing tells it, each caption encoded once', async () => {
    const told = await toldIn(await experimentOf({ kind: 'lora', rank: 1 }), captions)
    const { given } = await awaited(
      embeddedTexts(reference, await smallModel(), request(captions), false, () => undefined),
    )
    expect(farthest(told.context, given.states)).toBeLessThan(1e-6)
    const [n, width = 0] = given.pooled?.shape ?? []
    const [, whole = 0] = told.vector?.shape ?? []
    expect(whole).toBe(width + 6 * 8)
    const pooled = captions.flatMap((_, i) =>
      Array.from(told.vector?.data.subarray(i * whole, i * whole + width) ?? []),
    )
    expect(farthest(floats([n ?? 0, width], Float32Array.from(pooled)), given.pooled)).toBeLessThan(1e-6)
  })
  it('begins, of a new word, as the word that it is to begin as', async () => {
    const e = await experimentOf({ kind: 'textual-inversion', token: '<toy>', initial: 'red' })
    const told = await toldIn(e, ['a <toy> circle', 'a <toy>'])
    const plain = await toldIn(e, ['a red circle', 'a red'])
    expect(farthest(told.context, plain.context)).toBe(0)
  })
  it('is, of a new word of several vectors, what drawing with its file tells', async () => {
    const e = await experimentOf({ kind: 'textual-inversion', token: '<toy>', initial: 'red circle', vectors: 3 })
    const base = await awaited(publishedBase(join(state.dir, 'model'), e))
    const texts = ['a <toy> left of a circle', 'no word']
    const told = await toldIn(e, texts)
    const vectorsOf = (k: number) => {
      const { shape = [], data = [] } = base.begins?.[inversionLeaf(k)] ?? {}
      return { dtype: 'float32' as const, shape, data: Float32Array.from(data) }
    }
    const inversion = { token: '<toy>', vectors: { clip_l: vectorsOf(0), clip_g: vectorsOf(1) } }
    const pipeline = await awaited(withWord(await smallModel(), inversion))
    const { given } = await awaited(embeddedTexts(reference, pipeline, request(texts), false, () => undefined))
    expect(farthest(told.context, given.states)).toBeLessThan(1e-6)
  })
  it('knows no word that the model has already', async () => {
    const wrong = completed({
      ...{ name: 'tuned', data: { kind: 'shapes', size: 16 }, training },
      adapter: { kind: 'textual-inversion', token: 'red</w>', initial: 'red', of: join(state.dir, 'model') },
    })
    const found = await wrong()
    expect(E.isLeft(found) ? showErrors(found.left) : 'nothing').toContain('/adapter/token')
  })
})

it('says of pictures that do not fit what its document can change', async () => {
  const { document, asWritten } = await awaited(
    completed({
      ...{ name: 'tuned', data: { kind: 'shapes', size: 17 }, training },
      adapter: { kind: 'lora', rank: 1, of: join(state.dir, 'model') },
    }),
  )
  const found = decodeExperiment(document)
  const told = E.isLeft(found) ? placedBy(asWritten)(found.left) : undefined
  expect(told?.find(({ at }) => at === '/data/size')?.hint).toMatch(/^--set \/data\/size=\d+$/)
})

describe('what is trained', () => {
  /** A step of sampling with the weights that training begins with, of leaves by chance. */
  const stepOf = async (executor: Executor, e: Experiment, adapted: boolean): Promise<Values> => {
    const base = await awaited(publishedBase(join(state.dir, 'model'), e))
    if (e.diffusion === undefined) throw new Error('no diffusion')
    const { adapter: _, ...plain } = e.diffusion
    const model = right(latentDiffusion(adapted ? e.diffusion : plain, diffusedOf(e), 0))
    const { graph } = right(samplingProgram(model, e.sampling, 1))
    const weights = { ...initialParameters(graph, 1), ...base.diffusion }
    const all = { ...weights, ...beginsOf(base, Object.keys(weights)) }
    const fed = Object.entries(feedTypes(graph)).map(([name, { shape }]): readonly [string, Value] => {
      const data = new Float32Array(size(shape))
      fillNormal(drawKey(7, { step: 0, name, sample: 0 }), data)
      return [name, all[name] ?? floats(shape, data.map(Math.abs))]
    })
    const executable = await awaited(executor.compile(graph, { mode: 'training' }))
    return awaited(executable.run(Object.fromEntries(fed)))
  }
  it.each([
    ['an adapter', { kind: 'lora', rank: 2 }],
    ['a ControlNet', { kind: 'controlnet', hints: 'hints' }],
  ])('leaves the network, of %s, as it is where it begins, to the bit', { timeout: 120_000 }, async (_, adapter) => {
    const e = await experimentOf(adapter)
    for (const executor of [reference, await awaited(executorByName('onnx:cpu'))]) {
      const [plain, adapted] = [await stepOf(executor, e, false), await stepOf(executor, e, true)]
      expect(Object.keys(adapted)).toEqual(Object.keys(plain))
      for (const [name, { data }] of Object.entries(plain)) {
        expect(data.every(Number.isFinite)).toBe(true)
        expect(adapted[name]?.data).toEqual(data)
      }
    }
  })
  it("is, of a ControlNet, all of it and nothing of the U-Net's; it begins as a copy", async () => {
    const e = await experimentOf({ kind: 'controlnet', hints: 'hints' })
    const plan = right(planExperiment(e, 0))
    const leaves = Object.keys(plan.diffusion?.step.leaves ?? {})
    expect(leaves.filter((name) => !/^(optimizer\.\w+\.)?control\./.test(name))).toEqual([])
    const base = await awaited(publishedBase(join(state.dir, 'model'), e))
    const begins = beginsOf(base, leaves)
    expect(Object.keys(begins).length).toBeGreaterThan(20)
    for (const [name, value] of Object.entries(begins)) expect(value).toBe(base.diffusion[name.replace('control.', '')])
  })
  it('is no ControlNet that diffusers has none of', async () => {
    const e = await experimentOf({ kind: 'controlnet', hints: 'hints' })
    if (e.diffusion?.adapter?.kind !== 'controlnet') throw new Error('no ControlNet')
    const unet = { ...e.diffusion.unet, attention: { kind: 'self', order: 'legacy' } as const }
    const space = spaceOf(diffusedOf(e), 0)
    expect(controlRules(e.diffusion.adapter, e.diffusion.unet, unconditional, space)).toEqual([])
    expect(controlRules(e.diffusion.adapter, unet, unconditional, space)).toMatchObject([
      { at: '/diffusion/adapter/of', got: '"self"' },
    ])
  })
  it('takes a hint of the size that its convolutions bring down to the latents', async () => {
    const document = { ...{ name: 'tuned', data: { kind: 'shapes', size: 16 }, training } }
    const adapter = { kind: 'controlnet', hints: 'hints', widths: [16, 32, 32], of: join(state.dir, 'model') }
    const { document: whole, asWritten } = await awaited(completed({ ...document, adapter }))
    const found = decodeExperiment(whole)
    const told = E.isLeft(found) ? placedBy(asWritten)(found.left) : undefined
    expect(told?.map(({ hint }) => hint)).toEqual(["--set '/adapter/widths=[16,32]'"])
    expect(E.isLeft(found) ? showErrors(found.left) : '').toMatch(/adapter\/widths\n {2}expected 2 numbers/)
  })
})
