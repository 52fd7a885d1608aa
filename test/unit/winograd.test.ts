import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { type CompileOptions, floats, type Value, type Values } from '../../src/execute/executor.ts'
import { lower } from '../../src/execute/onnx/compile.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { pipe, RR } from '../../src/prelude.ts'
import { check } from '../arbitrary/check.ts'
import { difference, feedsOf, graphOf, run } from './onnx-support.ts'

/** Whole numbers: the transforms halve, so that nothing is rounded. */
const wholeFeeds = (g: Graph): Values =>
  RR.map(({ shape, data }: Value) => floats(shape, Float32Array.from(data, Math.floor)))(feedsOf(g))
const training: CompileOptions = { mode: 'training' }
/** ONNX Runtime's own convolutions: so many channels take the interpreter too long. */
const runtimesOwn: CompileOptions = { mode: 'sampling' }
const equal = (got: Values, expected: Values): void => {
  for (const [name, value] of Object.entries(expected)) expect([name, difference(got[name], value)]).toEqual([name, 0])
}
const agrees = async (g: Graph): Promise<void> => {
  const feeds = wholeFeeds(g)
  equal(await run(onnx('cpu'), g, feeds, training), await run(reference, g, feeds))
}
const window = (...padding: readonly [number, number, number, number]): D.Window => ({ stride: [1, 1], padding })
const same = window(1, 1, 1, 1)
const x = (...shape: readonly number[]): Tensor => D.input('x', float(...shape))
const parameter = (name: string, ...shape: readonly number[]): Tensor => D.parameter('', name, shape, { kind: 'zeros' })
const opsOf = (g: Graph): readonly string[] =>
  lower(g, { device: 'cpu', mode: 'training', block: 16 }).nodes.map(({ op }) => op)

describe('gradients of 3x3 weights', () => {
  const side = fc.integer({ min: 1, max: 5 })
  const channels = fc.constantFrom(16, 17, 24, 40)
  const arbitraryConvolution = fc.record({
    n: fc.integer({ min: 1, max: 3 }),
    c: channels,
    o: channels,
    tiles: fc.tuple(side, side),
    padding: fc.tuple(...([0, 1, 2, 3] as const).map(() => fc.integer({ min: 0, max: 2 }))),
  })
  const gradient = ({
    n,
    c,
    o,
    tiles: [down, across],
    padding,
  }: typeof arbitraryConvolution extends fc.Arbitrary<infer A> ? A : never) => {
    const [top = 0, left = 0, bottom = 0, right = 0] = padding
    const [h, w] = [2 * down + 2 - top - bottom, 2 * across + 2 - left - right]
    if (h < 1 || w < 1) return undefined
    const dy = D.input('y', float(n, o, 2 * down, 2 * across))
    return graphOf({ dw: D.convWeightGrad(x(n, c, h, w), [3, 3], window(top, left, bottom, right))(dy) })
  }
  test('over even maps, padded in any way', () =>
    check(
      fc.asyncProperty(arbitraryConvolution, async (of) => {
        const g = gradient(of)
        fc.pre(g !== undefined)
        if (g !== undefined) await agrees(g)
      }),
      40,
    ))
  test('are products over tiles where maps are small', () => {
    const g = graphOf({ dw: D.convWeightGrad(x(4, 32, 8, 8), [3, 3], same)(D.input('y', float(4, 32, 8, 8))) })
    const products = opsOf(g).filter((op) => op.endsWith('MatMul'))
    expect(products).toEqual(['MatMul', 'MatMul', 'FusedMatMul', 'MatMul'])
  })
  test('are summed as ever over odd ones', () =>
    agrees(graphOf({ dw: D.convWeightGrad(x(2, 16, 7, 8), [3, 3], same)(D.input('y', float(2, 16, 7, 8))) })))
})

/** How weights of so many channels reach convolutions: constant, or lying as [h, w, C, O] at every run. */
const weights = {
  constant: (name: string, o: number, c: number) => parameter(name, o, c, 3, 3),
  hwio: (name: string, o: number, c: number) => pipe(parameter(name, 3, 3, c, o), D.transpose(3, 2, 0, 1)),
}
const optionsFor = (kind: string, g: Graph): CompileOptions => {
  if (kind !== 'constant') return training
  const constants = Object.fromEntries(Object.entries(wholeFeeds(g)).filter(([name]) => name.startsWith('w')))
  return { ...training, constants }
}
describe.each(Object.entries(weights))('convolutions of many channels, weights %s', (kind, weight) => {
  const [narrow, wide] = [128, 256]
  const given = x(4, narrow, 8, 8)
  const bias = D.reshape(wide, 1, 1)(parameter('bias', wide))
  const [w1, w2] = [weight('w1', wide, narrow), weight('w2', narrow, wide)]
  const first = pipe(D.conv2d(w1, same)(given), D.add(bias), D.relu)
  const second = D.conv2d(w2, same)(first)
  const dy = D.input('dy', float(4, narrow, 8, 8))
  const back = D.convInputGrad(w2, [8, 8], same)(dy)
  const cases: Readonly<Record<string, Graph>> = {
    'and back': graphOf({ back }),
    'padded unevenly': graphOf({ y: D.conv2d(w1, window(0, 2, 2, 0))(given) }),
    'one behind the other, ReLU between, and its mask': graphOf({
      first,
      second,
      masked: D.convInputGrad(w1, [8, 8], same)(pipe(first, D.greater(0), D.select(back, D.zerosLike(back)))),
    }),
  }
  test.each(Object.entries(cases))('%s', async (_, g) => {
    const feeds = wholeFeeds(g)
    const { constants = {}, mode } = optionsFor(kind, g)
    const fed = Object.fromEntries(Object.entries(feeds).filter(([name]) => !(name in constants)))
    const got = await run(onnx('cpu'), g, fed, { mode, constants })
    equal(got, await run(onnx('cpu'), g, feeds, runtimesOwn))
  })
  test('stay channels last between', () => {
    const g = graphOf({ second })
    const { constants = {} } = optionsFor(kind, g)
    const model = lower(g, { device: 'cpu', mode: 'training', block: 16 }, constants)
    expect(model.nodes.filter(({ op }) => op === 'Transpose').length).toBe(2)
    expect(model.nodes.map(({ op }) => op)).not.toContain('Conv')
  })
})
