import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { type Executor, floats, type Value, type Values } from '../../src/execute/executor.ts'
import { inHalf } from '../../src/execute/in-half.ts'
import { by } from '../../src/execute/onednn/compile.ts'
import { measured } from '../../src/execute/onednn/costs.ts'
import { onednnBy } from '../../src/execute/onednn/index.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { samplingProgram } from '../../src/experiment/diffusion-stage.ts'
import { autoencoderOf } from '../../src/experiment/document.ts'
import { decoderGraph } from '../../src/experiment/first-stage.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { decodeGraph, encodeGraph } from '../../src/graph/codec.ts'
import { feedTypes, type Graph, outputTypes } from '../../src/graph/graph.ts'
import type { OpKind } from '../../src/graph/ops.ts'
import { float, type Half, halves, isHalf, size } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { grad, optimise, precision, simulate } from '../../src/transform/index.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { present, suiteOn } from '../arbitrary/executors.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { absolute, formats, magnitudes, roundings, tame } from '../arbitrary/half.ts'
import { right, runOn } from '../arbitrary/run.ts'
import { apart, fed, normOf, stepOfUNet } from '../arbitrary/unet-step.ts'

/** Results in half precision one behind the other, at most. */
const depth = ({ nodes }: Graph): number => {
  const found: number[] = []
  for (const { operands, type } of nodes)
    found.push(Math.max(0, ...operands.map((o) => found[o] ?? 0)) + (isHalf(type.dtype) ? 1 : 0))
  return Math.max(...found)
}
const largest = (v: Value | undefined): number =>
  v === undefined ? Number.NaN : Array.from<number>(v.data).reduce((m, x) => Math.max(m, Math.abs(x)), 0)

/** oneDNN with 2 bytes an element, on a processor without arithmetic in half precision too. */
const stored: readonly (readonly [string, Executor])[] = (await present(['onednn'])).map(() => [
  'onednn, 2 bytes an element',
  onednnBy(() => by({ ...measured, half: { ...measured.half, stored: 'always' } })),
])
const engines = (await present(['onnx:cpu', 'xla:cpu', 'tfjs:node'])).map((e): readonly [string, Executor] => [
  e.name,
  e.executor,
])
const exactly = ['reference', reference] as const
/** What an engine that computes in single precision errs besides, of the magnitudes. */
const single = 1e-5

describe.each(halves)('precision(%s)', (dtype) => {
  const [inDtype, { unit, underflow, largest: most }] = [precision(dtype), formats[dtype]]

  test.each([exactly, ...stored])(
    'on %s |y16 - y| <= ((1 + u)^d - 1) |g|(|x|), d the roundings that meet in y and |g| the graph of magnitudes',
    (_, executor) =>
      check(
        fc.asyncProperty(arbitraryGraph({ ops: tame, steps: 8 }), async ({ graph, feeds }) => {
          const half = inDtype(graph)
          const bound = await runOn(reference)(
            magnitudes(graph),
            Object.fromEntries(Object.entries(feeds).map(([name, v]) => [name, absolute(v)])),
          )
          fc.pre(Object.values(bound).every((v) => largest(v) < most))
          const [exact, found] = [await runOn(reference)(graph, feeds), await runOn(executor)(half, feeds)]
          const more = executor === reference ? 0 : single
          for (const [name, d] of Object.entries(roundings(half)))
            exact[name]?.data.forEach((y, i) => {
              const error = Math.abs((found[name]?.data[i] ?? Number.NaN) - y)
              const share = (1 + unit) ** d - 1 + more
              expect(error).toBeLessThanOrEqual(share * Math.abs(bound[name]?.data[i] ?? 0) + underflow)
            })
        }),
        executor === reference ? 100 : 40,
      ),
  )

  test('keeps feeds, outputs and their types, and every graph well-typed', () =>
    check(
      fc.asyncProperty(arbitraryGraph({ steps: 9 }), async ({ graph }) => {
        const half = inDtype(graph)
        expect(outputTypes(half)).toEqual(outputTypes(graph))
        expect(feedTypes(graph)).toMatchObject(feedTypes(half))
        expect(right(decodeGraph(JSON.parse(JSON.stringify(encodeGraph(half)))))).toEqual(half)
        expect(inDtype(half)).toEqual(half)
      }),
      100,
    ))

  test('is not for losses, nor for distances whose least is sought', () => {
    const [x, w] = [D.input('x', float(4, 3)), D.parameter('net', 'weight', [3, 3], { kind: 'ones' })]
    const y = pipe(x, D.matmul(w))
    const half = (outputs: Readonly<Record<string, Tensor>>): readonly string[] =>
      inDtype(frozen(outputs)).nodes.flatMap((n) => (isHalf(n.type.dtype) ? [n.op] : []))
    expect(half({ y: pipe(y, D.mul(y), D.matmul(w)) })).toEqual(['cast', 'cast', 'matmul', 'mul'])
    expect(half({ y: pipe(y, D.matmul(w), D.mul(y)) })).toEqual(['cast', 'cast', 'matmul'])
    expect(half({ y: pipe(y, D.mul(y), D.sum()) })).toEqual(['cast', 'cast'])
    expect(half({ y: pipe(y, D.neg, D.argMin(1)) })).toEqual([])
  })

  describe.each(['a step of the U-Net', 'the decoder'] as const)('of %s', async (what) => {
    const experiment = right(await loadExperiment('graphs/tiny.json')())
    const { diffusion } = right(planExperiment(experiment, 8))
    if (diffusion === undefined) throw new Error('tiny has a diffusion stage')
    const declared = {
      'a step of the U-Net': () => right(samplingProgram(diffusion.model, experiment.sampling, 1)).graph,
      'the decoder': () => right(decoderGraph(autoencoderOf(experiment) ?? expect.unreachable('no autoencoder'), 1)),
    }[what]()
    const graph = optimise(declared)
    const feeds = fed(graph)
    const made: { exact?: Promise<Values> } = {}
    const inFull = (): Promise<Values> => (made.exact ??= runOn(reference)(graph, feeds))

    test('is half: no product but the last in float32, no norm and no softmax in half precision', () => {
      const types = (op: OpKind): readonly string[] =>
        inDtype(graph).nodes.flatMap((n) => (n.op === op ? [n.type.dtype] : []))
      expect([...new Set(types('conv2d').slice(0, -1)), types('conv2d').at(-1)]).toEqual([dtype, 'float32'])
      expect(new Set(types('groupNorm'))).toEqual(new Set(['float32']))
      for (const op of ['softmax', 'sum', 'parameter', 'input'] as const) expect(types(op)).not.toContain(dtype)
    })

    test.each([exactly, ['onnx:cpu', onnx('cpu')] as const, ...stored])(
      'errs on %s by at most d u of the greatest result, d the float16 results one behind the other',
      async (_, executor) => {
        const [exact, found] = [await inFull(), await runOn(inHalf(dtype)(executor))(graph, feeds)]
        const d = depth(inDtype(graph))
        expect(d).toBeGreaterThan(10)
        expect(found).not.toEqual(exact)
        for (const [name, y] of Object.entries(exact)) {
          const scale = largest(y)
          y.data.forEach((v, i) => {
            expect(Math.abs((found[name]?.data[i] ?? Number.NaN) - v)).toBeLessThanOrEqual(d * unit * scale)
          })
        }
      },
    )
  })
})

describe('a training step of the U-Net', async () => {
  const { graph, feeds } = await stepOfUNet(4)
  /** What the reference makes of the step as it is, and in half precision: once for all that is asked of it. */
  const made = new Map<Half | 'float32', Promise<Values>>()
  const exactly = (dtype: Half | 'float32'): Promise<Values> => {
    const found = made.get(dtype) ?? runOn(reference)(dtype === 'float32' ? graph : precision(dtype)(graph), feeds)
    made.set(dtype, found)
    return found
  }

  test.each([
    ['float16', 1e-2],
    ['bfloat16', 3e-2],
  ] as const)('in %s errs by at most 2e-2 of the loss and %d of the norm of the gradients', async (dtype, most) => {
    const [exact, found] = [await exactly('float32'), await exactly(dtype)]
    const [loss32, loss16] = [exact, found].map((v) => v.loss?.data[0] ?? Number.NaN)
    expect(found).not.toEqual(exact)
    expect(Math.abs((loss16 ?? 0) - (loss32 ?? 0))).toBeLessThan(2e-2 * (loss32 ?? 0))
    expect(apart(found, exact)).toBeLessThan(most * normOf(exact))
  })

  test('in bfloat16 is on onnx:cpu, which simulates it, what it is on the reference', async () => {
    const [expected, found] = [await exactly('bfloat16'), await runOn(onnx('cpu'))(precision('bfloat16')(graph), feeds)]
    expect(apart(found, expected)).toBeLessThan(1e-2 * normOf(expected))
  })

  /**
   * How far engines are from each other says little: what differs by one rounding, as sums in another order do, is as far apart at a step's end as
   * whatever began apart. What a convolution adds onednn rounds with its result, once where the reference rounds each sum.
   */
  test.each([...engines, ...stored])('in bfloat16 errs on %s by no more than on the reference', async (_, executor) => {
    const half = precision('bfloat16')(graph)
    const [exact, expected] = [await exactly('float32'), await exactly('bfloat16')]
    expect(apart(await runOn(executor)(half, feeds), exact)).toBeLessThan(1.05 * apart(expected, exact))
  })
})

test('bfloat16 simulated is bfloat16: every graph gives the same numbers', () =>
  check(
    fc.asyncProperty(arbitraryGraph({ steps: 8 }), async ({ graph, feeds }) => {
      const half = precision('bfloat16')(graph)
      const simulation = simulate('bfloat16')(half)
      expect(simulation.nodes.filter((n) => n.type.dtype === 'bfloat16').every((n) => n.op === 'cast')).toBe(true)
      expect(await runOn(reference)(simulation, feeds)).toEqual(await runOn(reference)(half, feeds))
    }),
    100,
  ))

await suiteOn('onnx:webgpu', 'on onnx:webgpu', (webgpu) => {
  test('float16 runs, or is refused before it does', async () => {
    const x = D.input('x', float(2, 3))
    const graph = frozen({ y: pipe(x, D.cast('float16'), D.add(pipe(x, D.cast('float16')))) })
    const made = await webgpu.compile(graph, { mode: 'training' })()
    if (E.isLeft(made)) {
      expect(made.left).toMatchObject([
        { tag: 'compile', at: 'onnx:webgpu', expected: expect.stringContaining('shader-f16') },
      ])
      return
    }
    const { y } = right(await made.right.run({ x: floats([2, 3], Float32Array.of(1, 2, 3, 4, 5, 0.1)) })())
    expect(y).toEqual({ dtype: 'float16', shape: [2, 3], data: Float32Array.of(2, 4, 6, 8, 10, 0.199951171875) })
    made.right.dispose()
  })
})

test.each([
  ['float16', [0.0999755859375, -2, 2048], [1.099609375, -1, 2048]],
  ['bfloat16', [0.10009765625, -2, 2048], [1.1015625, -1, 2048]],
] as const)('arrays of %s are fed and returned, rounded, by both executors', async (dtype, same, more) => {
  const x = D.input('x', { dtype, shape: [3] })
  const graph = frozen({ y: pipe(x, D.add(1)), z: x })
  for (const executor of [reference, onnx('cpu'), ...stored.map(([, engine]) => engine)]) {
    const { y, z } = await runOn(executor)(graph, {
      x: { dtype, shape: [3], data: Float32Array.of(0.1, -2, 2048) },
    })
    expect([...(z?.data ?? [])]).toEqual(same)
    expect([...(y?.data ?? [])]).toEqual(more)
    expect([y?.dtype, z?.dtype]).toEqual([dtype, dtype])
  }
})

test.each([
  ['maximum(0.3)', D.maximum(0.3)],
  ['minimum(0.1)', D.minimum(0.1)],
  ['maximum(0)', D.maximum(0)],
])('the gradient of %s does not leak through what half precision makes of the bound', async (_, bounded) => {
  const window = { stride: [1, 1], padding: [0, 0, 0, 0] } as const
  const x = D.input('x', float(1, 2, 6, 6))
  const y = pipe(
    x,
    D.conv2d(D.input('w', float(3, 2, 1, 1)), window),
    bounded,
    D.conv2d(D.input('v', float(2, 3, 1, 1)), window),
    D.sum(),
  )
  const g = optimise(right(D.freeze(Object.fromEntries(grad(y, [x]).map((dx) => ['dx', dx])))))
  const feeds = Object.fromEntries(
    Object.entries(feedTypes(g)).map(([name, { shape }]) => [
      name,
      floats(
        shape,
        Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(7.1 * i + name.charCodeAt(0))),
      ),
    ]),
  )
  const [exact, mixed] = [await runOn(reference)(g, feeds), await runOn(reference)(precision('float16')(g), feeds)]
  const numbers = (v: Values): readonly number[] => Array.from(v.dx?.data ?? [])
  expect(numbers(exact).length).toBe(2 * 6 * 6)
  const greatest = Math.max(...numbers(exact).map(Math.abs))
  numbers(exact).forEach((dx, i) => {
    expect(Math.abs((numbers(mixed)[i] ?? Number.NaN) - dx)).toBeLessThan(0.02 * greatest)
  })
})
