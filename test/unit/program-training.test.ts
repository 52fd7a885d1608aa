import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeExperiment } from '../../src/experiment/load.ts'
import {
  type Experiment,
  jsonLines,
  loadRun,
  orThrow,
  type Trained,
  type TrainingEvent,
  train,
} from '../../src/index.ts'

/** Training in a program, on 24 generated pictures of 16 pixels, a few steps. */

const declared = {
  name: 'dots',
  seed: 4,
  executor: 'onnx:cpu',
  data: { kind: 'shapes', size: 16, count: 24, heldOut: 4 },
  firstStage: { kind: 'identity' },
  diffusion: {
    schedule: { kind: 'cosine', timesteps: 20 },
    unet: {
      ...{ inChannels: 3, outChannels: 3, modelChannels: 32, channelMultipliers: [1], resBlocks: 1 },
      ...{ attentionFactors: [], heads: { by: 'channels', channels: 32 } },
    },
    training: {
      ...{ steps: 4, batchSize: 2, optimizer: { kind: 'adam' }, learningRate: { kind: 'constant', rate: 1e-3 } },
      ...{ previewEvery: 4, checkpointEvery: 2, validate: { every: 2, pictures: 4 } },
    },
  },
  sampling: { sampler: 'ddim', steps: 3, perClass: 2 },
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
