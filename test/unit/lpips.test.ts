import { describe, expect, test } from 'vitest'
import { freeze, input, sum } from '../../src/declare/index.ts'
import { floats, type Value } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { type Graph, parameters } from '../../src/graph/graph.ts'
import { float, size } from '../../src/graph/types.ts'
import { lpips, torchvisionNames } from '../../src/nn/index.ts'
import { pipe } from '../../src/prelude.ts'
import { initialValue } from '../../src/train/state.ts'
import { grad, optimise, trainable } from '../../src/transform/index.ts'
import { done, right } from './diffusion-fixtures.ts'

const side = 16
const [x, y] = [input('x', float(1, 3, side, side)), input('y', float(1, 3, side, side))]
const distance = lpips('loss.perceptual_loss')
const { total } = distance(x, y)
const graph = optimise(right(freeze({ total })))

describe("LPIPS' arrays", () => {
  const names = parameters(graph).map((p) => p.name)
  test('are those of the published first stages, none of them trained', () => {
    expect(names.length).toBe(2 + 26 + 5)
    expect(names).toContain('loss.perceptual_loss.scaling_layer.shift')
    expect(names).toContain('loss.perceptual_loss.net.slice5.28.bias')
    expect(names).toContain('loss.perceptual_loss.lin4.model.1.weight')
    expect(trainable(total)).toEqual([])
  })
  test("VGG16's have their names in torchvision too", () => {
    const own = torchvisionNames('loss.perceptual_loss.net')
    expect(names.filter((n) => n.includes('.net.')).toSorted()).toEqual(Object.keys(own).toSorted())
    expect(own['loss.perceptual_loss.net.slice3.14.weight']).toBe('features.14.weight')
  })
  test('are not numbers until they are loaded', () => {
    const vgg = parameters(graph).find((p) => p.name.endsWith('slice1.0.weight'))
    expect(vgg === undefined ? [] : Array.from(initialValue(0, vgg).data.slice(0, 2))).toEqual([Number.NaN, Number.NaN])
    const shift = parameters(graph).find((p) => p.name.endsWith('shift'))
    expect(shift === undefined ? [] : Array.from(initialValue(0, shift).data)).toEqual(
      [-0.03, -0.088, -0.188].map(Math.fround),
    )
  })
})

/** Kaiming's weights, no biases; those of the heads not negative. */
const weightOf = (p: ReturnType<typeof parameters>[number]): Value => {
  if (p.init.kind === 'values') return initialValue(0, p)
  const std = p.shape.length === 4 ? Math.sqrt(2 / size(p.shape.slice(1))) : 0
  const { shape, data } = initialValue(5, { ...p, init: { kind: 'normal', std } })
  return floats(
    shape,
    Float32Array.from(data, (v) => (p.name.includes('.lin') ? Math.abs(v) : v)),
  )
}
const weights = (g: Graph): Readonly<Record<string, Value>> =>
  Object.fromEntries(parameters(g).map((p) => [p.name, weightOf(p)]))
const wave = (f: (i: number) => number): Value =>
  floats(
    [1, 3, side, side],
    Float32Array.from({ length: 3 * side * side }, (_, i) => f(i)),
  )
const flat = wave(() => 0.25)

describe('LPIPS', () => {
  const outputs = { total, slope: grad(pipe(total, sum()), [x])[0] ?? total }
  const compared = async (pairs: readonly (readonly [Value, Value])[]) => {
    const g = optimise(right(freeze(outputs)))
    const executable = await done(onnx('cpu').compile(g, { mode: 'training' }))
    const fed = weights(g)
    const found = []
    for (const [a, b] of pairs) found.push(await done(executable.run({ ...fed, x: a, y: b })))
    executable.dispose()
    return found.map((f) => ({
      total: Number(f.total?.data[0]),
      slope: Math.max(...Array.from(f.slope?.data ?? [], (v) => Math.abs(Number(v)))),
    }))
  }
  test('is a distance, with slope 0 at the picture itself, constant ones included', { timeout: 60_000 }, async () => {
    const [a, b] = [wave((i) => Math.sin(i * 0.9)), wave((i) => Math.cos(i * 0.31))]
    const [same, there, back, constant, toConstant] = await compared([
      [a, a],
      [a, b],
      [b, a],
      [flat, flat],
      [a, flat],
    ])
    expect(same).toEqual({ total: 0, slope: 0 })
    expect(constant).toEqual({ total: 0, slope: 0 })
    expect(there?.total).toBeGreaterThan(1e-3)
    expect(back?.total).toBeCloseTo(there?.total ?? Number.NaN, 6)
    expect(Number.isFinite(toConstant?.slope)).toBe(true)
  })
})
