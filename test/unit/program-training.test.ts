import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import {
  add,
  defineExperiment,
  E,
  type Experiment,
  type ExperimentDefinition,
  jsonLines,
  loadRun,
  nn,
  type OwnLoss,
  type OwnNetwork,
  orThrow,
  pipe,
  samplers,
  showErrors,
  square,
  sub,
  type Trained,
  type TrainingEvent,
  type TrainOptions,
  train,
  unsqueeze,
} from '../../src/index.ts'
import { dots } from '../dots.ts'

/** Training in a program, on 24 generated pictures of 16 pixels, a few steps. */

const declared = {
  ...dots,
  seed: 4,
  diffusion: {
    ...dots.diffusion,
    training: {
      steps: 4,
      batchSize: 2,
      optimizer: { kind: 'adam' },
      learningRate: { kind: 'constant', rate: 1e-3 },
      previewEvery: 4,
      checkpointEvery: 2,
      validate: { every: 2, pictures: 4 },
    },
  },
} as const
const experiment = (): Experiment => orThrow(decodeExperiment(declared))

const held: { place?: string; trained?: Trained } = {}
const at = (...path: readonly string[]): string => join(held.place ?? expect.unreachable('no place'), ...path)
const events: TrainingEvent[] = []
beforeAll(async () => {
  held.place = await mkdtemp(join(tmpdir(), 'latentgraph-train-'))
  const onEvent = (event: TrainingEvent): void => void events.push(event)
  held.trained = await orThrow(train(experiment(), { out: at('run'), onEvent, sinks: [jsonLines(at('events.jsonl'))] }))
}, 120_000)
afterAll(() => held.place && rm(held.place, { recursive: true }))

/** The last weights, byte for byte. */
const weights = (run: string): Promise<string> =>
  readFile(at(run, 'diffusion/checkpoints/step-00000004/parameters.safetensors'), 'base64')

describe('a program that trains', () => {
  test('is told what happens, in order', () => {
    const shown = events.flatMap((event) =>
      event.kind === 'doing' || event.kind === 'note'
        ? []
        : [`${event.kind}${'step' in event ? ` ${event.step}` : ''}`],
    )
    expect(shown).toEqual([
      ...['run', 'stage', 'step 1', 'step 2', 'validation 2', 'checkpoint 2'],
      ...['step 3', 'step 4', 'validation 4', 'checkpoint 4', 'preview 4', 'stage-done', 'done'],
    ])
    for (const event of events) if (event.kind === 'preview') expect(event.files.every((f) => existsSync(f))).toBe(true)
  })
  test('every sink is told the same', async () => {
    const lines = (await readFile(at('events.jsonl'), 'utf8')).trim().split('\n')
    expect(lines.map((line) => ({ ...JSON.parse(line), time: 0 }))).toEqual(
      events.map((event) => ({ ...JSON.parse(JSON.stringify(event)), time: 0 })),
    )
  })
  test('has a report and a run that is drawn from', async () => {
    expect(existsSync(held.trained?.report ?? '')).toBe(true)
    const run = await orThrow(loadRun(held.trained?.dir ?? ''))
    expect(run.describe).toMatchObject({ name: 'dots', condition: 'none', size: { width: 16, height: 16 } })
    expect((await orThrow(run.sample({ count: 2 }))).map(({ data }) => data.length)).toEqual([768, 768])
    run.dispose()
  })
  test('stops behind a checkpoint where it is aborted, and resumed ends as one that was not', async () => {
    const control = new AbortController()
    const last: TrainingEvent[] = []
    const onEvent = (event: TrainingEvent): void => {
      last.push(event)
      if (event.kind === 'step' && event.step === 1) control.abort()
    }
    const cut = { out: at('cut'), onEvent, signal: control.signal }
    expect(await train(experiment(), cut)()).toMatchObject({ left: [{ tag: 'stopped' }] })
    expect(last.slice(-2).map(({ kind }) => kind)).toEqual(['checkpoint', 'stopped'])
    const resumed: TrainingEvent[] = []
    await orThrow(train(experiment(), { out: at('cut'), resume: true, onEvent: (event) => void resumed.push(event) }))
    expect(resumed.find(({ kind }) => kind === 'stage')).toMatchObject({ done: 1, steps: 4 })
    expect(await weights('cut')).toBe(await weights('run'))
  })
  test('an error of a sink ends it, and is told', async () => {
    const full = () => jsonLines(at('none', 'events.jsonl'))
    expect(await train(experiment(), { out: at('full'), sinks: [full()] })()).toMatchObject({ left: [{ tag: 'file' }] })
    expect(existsSync(at('full'))).toBe(false)
  })
})

describe('an experiment with functions', () => {
  const colour = (i: number): number => (40 * i) % 256
  const picture = (i: number) => ({ width: 16, height: 16, data: new Uint8Array(768).fill(colour(i)) })
  const network: OwnNetwork = (x, t) => {
    const time = pipe(t, nn.timestepEmbedding(8), nn.linear('time', { out: 3 }), unsqueeze(2, 3))
    return pipe(x, add(time), nn.conv2d('conv', { out: 3, kernel: 3, padding: 1 }))
  }
  const other: OwnNetwork = (x) => pipe(x, nn.conv2d('conv', { out: 3, kernel: 3, padding: 1 }))
  const loss: OwnLoss = (target) => (prediction) => pipe(prediction, sub(target), square, square)
  const still = samplers.sampler({ name: 'still', order: 1, walk: samplers.euler().walk })
  const { diffusion, sampling, data: _, ...rest } = declared
  const { unet: __, ...objective } = diffusion
  const own = (changes: Partial<ExperimentDefinition> = {}): ExperimentDefinition => ({
    ...{ ...rest, name: 'greys', version: '1' },
    data: { kind: () => Array.from({ length: 20 }, (___, i) => ({ picture: picture(i) })), size: 16, heldOut: 4 },
    diffusion: { ...objective, unet: network, loss },
    sampling: { ...sampling, sampler: still },
    ...changes,
  })
  const errorsOf = (d: ExperimentDefinition): readonly string[] => {
    const defined = defineExperiment(d)
    return E.isLeft(defined) ? defined.left.map(({ at }) => at) : []
  }
  const train1 = (d: ExperimentDefinition, more: TrainOptions = {}) =>
    train(orThrow(defineExperiment(d)), { out: at('own'), ...more })

  test('is checked as its JSON is, all at once', () => {
    const { training } = diffusion
    expect(errorsOf(own())).toEqual([])
    const { version: ___, ...unversioned } = own()
    expect(errorsOf(unversioned)).toEqual(['/version'])
    expect(errorsOf({ ...unversioned, seed: -1, sampling: { ...sampling, sampler: still, steps: 0 } })).toEqual([
      '/version',
      '/seed',
      '/sampling/steps',
    ])
    expect(errorsOf(own({ diffusion: { unet: network, schedule: diffusion.schedule } }))).toEqual([
      '/diffusion/training',
    ])
    expect(
      errorsOf(own({ diffusion: { ...objective, unet: network, training: { ...training, batchSize: 0 } } })),
    ).toEqual(['/diffusion/training/batchSize'])
    expect(errorsOf({ ...declared, version: '1' })).toEqual(['/version'])
    expect(errorsOf(declared)).toEqual([])
  })
  test('trains with the same loop, says so in its report, and draws by what it was defined by', async () => {
    const { dir, report } = await orThrow(train1(own()))
    expect(await readFile(report, 'utf8')).toContain(
      'Functions of the program greys, version 1: data, unet, loss, sampler.',
    )
    const definition = orThrow(defineExperiment(own()))
    const run = await orThrow(loadRun(dir, { definition }))
    const learnt = run.parameters.map(({ name }) => name).toSorted()
    expect(learnt).toEqual(['conv.bias', 'conv.weight', 'time.bias', 'time.weight'])
    const drawn = await orThrow(run.sample({ count: 2 }))
    expect(await orThrow(run.sample({ count: 2, sampler: 'euler', steps: 3 }))).toEqual(drawn)
    expect(await orThrow(run.sample({ count: 2, sampler: 'ddpm', steps: 4 }))).not.toEqual(drawn)
    run.dispose()
  })
  test.each<readonly [string, () => ReturnType<typeof train> | ReturnType<typeof loadRun>, string]>([
    ['another version', () => train1(own({ version: '2' }), { resume: true }), '/own/version'],
    ['another name', () => train1(own({ name: 'others' }), { resume: true }), '/own/name'],
    [
      'another network of the same version',
      () => train1(own({ diffusion: { ...objective, unet: other, loss } }), { resume: true }),
      'a checkpoint with graph',
    ],
    [
      'none, by its file',
      () => train(at('own/experiment.json'), { out: at('own'), resume: true }),
      'pictures of the program',
    ],
    ['none, drawn from', () => loadRun(at('own')), 'unet of the program that defined greys, version 1'],
    [
      'another version, drawn from',
      () => loadRun(at('own'), { definition: orThrow(defineExperiment(own({ version: '2' }))) }),
      'greys, version 1',
    ],
  ])('is not taken up with %s', async (___, take, says) => {
    const taken = await take()()
    expect(E.isLeft(taken) ? showErrors(taken.left) : '').toContain(says)
  })
})
