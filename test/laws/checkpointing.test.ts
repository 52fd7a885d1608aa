import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { checkGraph } from '../../src/execute/check-graph.ts'
import type { Executor, Values } from '../../src/execute/executor.ts'
import { lower } from '../../src/execute/onnx/compile.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { runtime } from '../../src/execute/onnx/native.ts'
import { encode, type Shapes } from '../../src/execute/onnx/proto.ts'
import { toTensor } from '../../src/execute/onnx/runtime.ts'
import { independentParts } from '../../src/execute/parts.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { splitTail } from '../../src/execute/tail/split.ts'
import { cost, peakBytes } from '../../src/graph/cost.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { inMicroBatches, type Loss } from '../../src/losses/index.ts'
import * as nn from '../../src/nn/index.ts'
import { E, pipe } from '../../src/prelude.ts'
import { type StepOptions, type StepPlan, trainingStep } from '../../src/train/step.ts'
import { checkpoint, share } from '../../src/transform/index.ts'
import { check } from '../arbitrary/check.ts'
import { right } from '../arbitrary/run.ts'
import { feed } from '../unit/onnx-support.ts'

interface Network {
  readonly channels: number
  readonly side: number
  readonly blocks: readonly ('plain' | 'residual' | 'attention')[]
  readonly skips: boolean
}
const attention =
  (scope: string, { channels, side }: Network) =>
  (x: D.Tensor) => {
    const rows = pipe(x, D.reshape(x.shape[0] ?? 1, channels, side * side))
    const weights = pipe(rows, D.matmul(rows, { transposeA: true }), D.mul(channels ** -0.5), D.softmax(2))
    return pipe(
      rows,
      D.matmul(weights, { transposeB: true }),
      D.reshape(...x.shape),
      nn.conv2d(scope, { out: channels, kernel: 1 }),
    )
  }
/** A network as the models have them: blocks of norm, SiLU and convolution, residual ones and attention, and skips from the first half. */
const lossOf =
  (network: Network) =>
  (batch: number): Loss => {
    const { channels, side, blocks, skips } = network
    const conv = (scope: string) => nn.conv2d(scope, { out: channels, kernel: 3, padding: 1 })
    const block = (kind: Network['blocks'][number], scope: string) => (x: D.Tensor) => {
      if (kind === 'attention') return pipe(x, D.add(attention(scope, network)(x)))
      const y = pipe(x, nn.groupNorm(`${scope}.norm`, { groups: 2 }), D.silu, conv(`${scope}.conv`))
      return kind === 'plain' ? y : pipe(y, D.add(x))
    }
    const states: D.Tensor[] = [conv('in')(D.input('x', float(batch, 3, side, side)))]
    blocks.forEach((kind, i) => {
      const last = states.at(-1) ?? D.input('x', float(batch, 3, side, side))
      const early = states[blocks.length - i - 1]
      const from = skips && 2 * i >= blocks.length && early !== undefined ? D.concat(1, last, early) : last
      const narrow = from === last ? from : nn.conv2d(`join.${i}`, { out: channels, kernel: 1 })(from)
      states.push(block(kind, `block.${i}`)(narrow))
    })
    const error = pipe(states.at(-1) ?? D.scalar(0), conv('out'), D.sub(D.noise('eps', [batch, channels, side, side])))
    return { loss: pipe(error, D.square, D.mean()), log: {} }
  }
const planOf = (loss: Loss, more: Partial<StepOptions> = {}): StepPlan =>
  right(
    trainingStep(loss, {
      steps: 4,
      optimizer: { kind: 'adam', betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0 },
      learningRate: { kind: 'constant', rate: 0.01 },
      emaDecay: 0.9,
      ...more,
    }),
  )
const network = fc.record<Network>({
  channels: fc.constant(8),
  side: fc.constant(8),
  blocks: fc.array(fc.constantFrom('plain', 'residual', 'attention'), { minLength: 3, maxLength: 6 }),
  skips: fc.boolean(),
})

const within = (budget: number, g: Graph): Graph =>
  pipe(
    checkpoint(['loss'], budget)(g),
    E.getOrElse((least): Graph => expect.unreachable(`at least ${least} bytes, not ${budget}`)),
  )
const leastOf = (g: Graph): number => {
  const found = checkpoint(['loss'], 0)(g)
  return E.isLeft(found) ? found.left : 0
}
/** A budget that is so far from the least to what the graph takes. */
const budgetAt = (g: Graph, share: number): number => leastOf(g) + share * (peakBytes(g) - leastOf(g))

/** State and metrics after two steps, to the bit. */
const trained = async (executor: Executor, plan: StepPlan, graph: Graph): Promise<Values> => {
  const executable = right(await executor.compile(graph, { mode: 'training' })())
  const stepper = right(await executable.start(plan.carry, plan.initial(3))())
  const types = feedTypes(graph)
  let metrics: Values = {}
  for (let step = 0; step < 2; step++) {
    const given = ['x', 'eps'].flatMap((name, i) => {
      const type = types[name]
      return type === undefined ? [] : [[name, feed(2 * step + i, type)] as const]
    })
    metrics = right(await stepper.step({ ...Object.fromEntries(given), ...plan.hostFeeds(step) })())
  }
  const state = right(await stepper.read())
  executable.dispose()
  return { ...state, ...metrics }
}

describe('a step within a memory budget', () => {
  test('needs at most that, is a graph, and computes more', () =>
    check(
      fc.asyncProperty(
        network,
        fc.integer({ min: 2, max: 4 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (n, batch, at) => {
          const { graph } = planOf(lossOf(n)(batch), { clipNorm: 0.5 })
          const budget = budgetAt(graph, at)
          const small = within(budget, graph)
          expect(E.isRight(await checkGraph(small)())).toBe(true)
          expect(peakBytes(small)).toBeLessThanOrEqual(budget)
          expect(cost(small).flops).toBeGreaterThanOrEqual(cost(graph).flops)
          expect(share(small).nodes.length, 'nothing is merged again').toBe(small.nodes.length)
          expect(Object.keys(small.outputs)).toEqual(Object.keys(graph.outputs))
        },
      ),
      12,
    ))
  test('leaves the same to the bit: reference', () =>
    check(
      fc.asyncProperty(network, fc.double({ min: 0, max: 0.9, noNaN: true }), async (n, at) => {
        const plan = planOf(lossOf({ ...n, blocks: n.blocks.slice(0, 3) })(2), { clipNorm: 0.5 })
        const small = within(budgetAt(plan.graph, at), plan.graph)
        expect(await trained(reference, plan, small)).toEqual(await trained(reference, plan, plan.graph))
      }),
      2,
    ))
  test('leaves the same to the bit: onnx:cpu, in the processor’s blocks of channels too', () =>
    check(
      fc.asyncProperty(
        network,
        fc.constantFrom<readonly [number, number, number]>([8, 8, 1], [32, 16, 1], [16, 8, 2]),
        fc.double({ min: 0, max: 0.9, noNaN: true }),
        async (n, [channels, side, parts], at) => {
          const plan = planOf(inMicroBatches(parts, 4, lossOf({ ...n, channels, side })))
          const small = within(budgetAt(plan.graph, at), plan.graph)
          expect(await trained(onnx('cpu'), plan, small)).toEqual(await trained(onnx('cpu'), plan, plan.graph))
        },
      ),
      4,
    ))
  test('is refused with the least that one is found to do with, which is met', () => {
    const { graph } = planOf(
      lossOf({ channels: 8, side: 16, blocks: Array.from({ length: 8 }, () => 'residual'), skips: false })(4),
    )
    const least = leastOf(graph)
    expect(least).toBeLessThan(0.7 * peakBytes(graph))
    expect(checkpoint(['loss'], least - 1)(graph)).toEqual(E.left(least))
    expect(peakBytes(within(least, graph))).toBeLessThanOrEqual(least)
  })
  test('barriers join no micro-batches', () => {
    const { graph } = planOf(
      inMicroBatches(
        2,
        8,
        lossOf({ channels: 8, side: 8, blocks: ['plain', 'residual', 'plain', 'residual'], skips: true }),
      ),
    )
    const small = within(leastOf(graph), graph)
    expect(small.nodes.some(({ op }) => op === 'barrier')).toBe(true)
    expect(independentParts(splitTail(small).body, 2).length).toBe(2)
  })
})

describe('ONNX Runtime', () => {
  /** Greatest number of bytes that its arrays take in a run, by its own count. */
  const peakOf = async (graph: Graph, shapes: Shapes): Promise<number> => {
    const ort = right(await runtime())
    const dir = await mkdtemp(join(tmpdir(), 'latentgraph-profile-'))
    try {
      const { body } = splitTail(graph)
      const model = lower(body, { device: 'cpu', mode: 'training', block: await ort.blockSize() })
      const session = await ort.InferenceSession.create(encode(model, shapes), {
        ...{ graphOptimizationLevel: 'disabled', enableMemPattern: false, intraOpNumThreads: 1, interOpNumThreads: 1 },
        ...{ enableProfiling: true, profileFilePrefix: join(dir, 'profile') },
      })
      await session.run(
        Object.fromEntries(
          Object.entries(feedTypes(body)).map(([name, type], i) => [`in.${name}`, toTensor(ort, feed(i, type))]),
        ),
      )
      session.endProfiling()
      await session.release()
      const [file = ''] = await readdir(dir)
      const peaks = (await readFile(join(dir, file), 'utf8')).matchAll(/"mem_in_use_peak"\s*:\s*"(\d+)"/g)
      return Math.max(...Array.from(peaks, ([, bytes]) => Number(bytes)))
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }
  test('frees arrays at their last use, and computes the second time when it is needed: its peak falls with the budget', async () => {
    const blocks = Array.from({ length: 24 }, () => 'residual' as const)
    const { graph } = planOf(lossOf({ channels: 16, side: 32, blocks, skips: false })(8))
    const small = within(leastOf(graph), graph)
    const [told, untold, budgeted] = [
      await peakOf(graph, 'told'),
      await peakOf(graph, 'untold'),
      await peakOf(small, 'untold'),
    ]
    expect(peakBytes(small)).toBeLessThan(0.4 * peakBytes(graph))
    expect(untold).toBeLessThan(0.95 * told)
    expect(budgeted).toBeLessThan(0.8 * untold)
  })
})
