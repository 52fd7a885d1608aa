import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { fillNormal, key } from '../../src/distributions/random.ts'
import { type Executor, floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { float, size } from '../../src/graph/types.ts'
import type { Loss } from '../../src/losses/index.ts'
import * as nn from '../../src/nn/index.ts'
import { pipe, TE } from '../../src/prelude.ts'
import { newestStanding } from '../../src/train/checkpoints.ts'
import { type Loop, train } from '../../src/train/loop.ts'
import { noiseFeeds } from '../../src/train/state.ts'
import { type StepOptions, type StepPlan, stepOfTurns, trainingStep } from '../../src/train/step.ts'
import { check } from '../arbitrary/check.ts'
import { difference, right } from '../arbitrary/run.ts'

const side = [3, 4, 4] as const
const lossOf = (batch: number): Loss => {
  const x = D.input('x', float(batch, ...side))
  const y = pipe(x, nn.conv2d('first', { out: 8, kernel: 3, padding: 1 }), nn.groupNorm('norm', { groups: 2 }), D.silu)
  const error = pipe(y, nn.conv2d('last', { out: 3, kernel: 3, padding: 1 }), D.sub(D.noise('eps', [batch, ...side])))
  return { loss: pipe(error, D.square, D.mean()), log: { distance: pipe(error, D.abs, D.mean()) } }
}
const optimizers = {
  adam: { kind: 'adam', betas: [0.9, 0.99], eps: 1e-3, weightDecay: 0 },
  adamw: { kind: 'adamw', betas: [0.5, 0.9], eps: 1e-3, weightDecay: 0.1 },
  sgd: { kind: 'sgd', momentum: 0.9, weightDecay: 0 },
} as const
const optionsOf = (kind: keyof typeof optimizers, clipped: boolean): StepOptions => ({
  steps: 4,
  optimizer: optimizers[kind],
  learningRate: { kind: 'warm-up', rate: 0.05, warmUp: 2 },
  emaDecay: 0.9,
  ...(clipped ? { clipNorm: 0.05 } : {}),
})

/** The pictures of a step, of which a part has its rows. */
const pictures = (step: number, from: number, rows: number): Values[string] => {
  const each = size(side)
  const all = new Float32Array((from + rows) * each)
  fillNormal(key(step + 1), all)
  return floats([rows, ...side], all.slice(from * each))
}
const feedsOf = (plan: StepPlan, batch: number, step: number, part: number): Values => ({
  x: pictures(step, part * batch, batch),
  ...noiseFeeds(plan.graph, 5, step, { from: part * batch, batch }),
})

/** State and metrics after two steps. */
const trained = async (executor: Executor, plan: StepPlan, batch: number): Promise<Values> => {
  const executable = right(await executor.compile(plan.graph, { mode: 'training' })())
  const stepper = right(await executable.start(plan.carry, { ...plan.passing, ...plan.initial(3) })())
  let metrics: Values = {}
  for (let step = 0; step < 2; step++)
    for (let part = 0; part < plan.parts; part++)
      metrics = right(await stepper.step({ ...feedsOf(plan, batch, step, part), ...plan.hostFeeds(step, part) })())
  const state = right(await stepper.read())
  executable.dispose()
  return Object.fromEntries(
    Object.entries({ ...state, ...metrics }).filter(([name]) => !Object.hasOwn(plan.passing, name)),
  )
}

describe('a step over parts that run one after another', () => {
  test('leaves what a step over the big batch leaves, and says the same of it', () =>
    check(
      fc.asyncProperty(
        fc.constantFrom<readonly [number, number]>([1, 2], [2, 3], [3, 2]),
        fc.constantFrom('adam', 'adamw', 'sgd'),
        fc.boolean(),
        async ([batch, parts], kind, clipped) => {
          const options = optionsOf(kind, clipped)
          const big = right(trainingStep(lossOf(batch * parts), options))
          const small = right(trainingStep(lossOf(batch), { ...options, accumulate: parts }))
          const expected = await trained(reference, big, batch * parts)
          expect(difference(await trained(reference, small, batch), expected, 1e-10)).toBeUndefined()
          expect(difference(await trained(onnx('cpu'), small, batch), expected, 1e-5)).toBeUndefined()
        },
      ),
      6,
    ))

  test('takes no more arrays of a batch than one part has', () => {
    const plan = right(trainingStep(lossOf(2), { ...optionsOf('adam', false), accumulate: 8 }))
    expect(feedTypes(plan.graph).x?.shape).toEqual([2, ...side])
    expect(Object.keys(plan.initial(0)).some((name) => name.startsWith('accumulate.'))).toBe(false)
  })

  test('is refused where something else than gradients sees the whole batch', () => {
    const amendment = { scope: 'a', scalars: [], at: () => ({}), amend: () => ({ state: {}, log: {} }) }
    const buffers = { seen: D.input('seen', float()) }
    const turn = { ...optionsOf('sgd', false), name: 'optimizer', parameters: [] }
    for (const [loss, options] of [
      [{ ...lossOf(2), buffers }, {}],
      [lossOf(2), { amendment }],
    ] as const)
      expect(stepOfTurns([{ ...turn, loss }], { steps: 4, order: 'simultaneous', accumulate: 2, ...options })).toEqual(
        expect.objectContaining({ left: [expect.objectContaining({ tag: 'config', at: '/accumulate' })] }),
      )
  })
})

describe('training with accumulation', () => {
  const options = { ...optionsOf('adam', true), accumulate: 3 }
  const plan = right(trainingStep(lossOf(2), options))
  const identity = { stage: 'first-stage' }
  const run = async (dir: string, stopAt?: number) => {
    const standingBelow = (below: number) => newestStanding(dir, { identity, like: plan.leaves, below })
    const { standing } = right(await standingBelow(Number.POSITIVE_INFINITY)())
    let done = 0
    const loop: Loop = {
      ...{ name: 'first-stage', plan, dir, identity, standingBelow, steps: 4 },
      ...{ checkpointEvery: 4, logEvery: 1, previewEvery: 9, wayOn: '' },
      compile: onnx('cpu').compile(plan.graph, { mode: 'training' }),
      ...(standing === undefined ? {} : { standing }),
      initial: TE.right(plan.initial(3)),
      feeds: (step, part) => TE.right(feedsOf(plan, 2, step, part)),
      preview: { files: () => [], draw: () => TE.right(undefined) },
      stopping: () => done === stopAt,
      held: TE.right(undefined),
      tell: (event) =>
        TE.fromIO(() => {
          if (event.kind === 'step') done = event.step
        }),
    }
    await train(loop)()
    const names = (await readdir(join(dir, 'checkpoints'))).sort()
    const last = join(dir, 'checkpoints', names.at(-1) ?? '')
    const files = await readdir(last)
    const bytes = await Promise.all(files.sort().map(async (f) => [f, await readFile(join(last, f), 'base64')]))
    return { names, bytes, metrics: await readFile(join(dir, 'metrics.jsonl'), 'utf8') }
  }
  test('that was stopped ends like one that was not, byte for byte; sums are in no checkpoint', async () => {
    const [straight, cut] = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'latentgraph-accumulate-'))))
    if (straight === undefined || cut === undefined) throw new Error('no folders')
    try {
      const whole = await run(straight)
      await run(cut, 1)
      await run(cut, 3)
      const resumed = await run(cut)
      expect(resumed.metrics).toEqual(whole.metrics)
      expect(resumed.bytes).toEqual(whole.bytes)
      expect(whole.bytes.map(([file]) => file).sort()).toEqual(
        ['ema.safetensors', 'manifest.json', 'optimizer.safetensors', 'parameters.safetensors'].sort(),
      )
      expect(JSON.parse(whole.metrics.split('\n')[0] ?? '')).toHaveProperty('gradient_norm')
    } finally {
      await Promise.all([straight, cut].map((dir) => rm(dir, { recursive: true, force: true })))
    }
  })
})
