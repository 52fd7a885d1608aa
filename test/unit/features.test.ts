import { describe, expect, it } from 'vitest'
import { freeze, input } from '../../src/declare/index.ts'
import { floats, type Value } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, type Shape, size } from '../../src/graph/types.ts'
import { featureNetworks, resize } from '../../src/nn/index.ts'
import { optimise } from '../../src/transform/index.ts'
import { right, runOn } from '../arbitrary/run.ts'

/** Numbers that any language computes alike: hashes of the name and the place in the array, in [-1, 1), scaled for their use. */
const weight = (name: string, shape: Shape): Value => {
  const code = Array.from(name).reduce((sum, c, k) => sum + (k + 1) * c.charCodeAt(0), 0)
  const bias = name.endsWith('running_var') || name.endsWith('bn.weight') ? 1 : 0
  const scale = shape.length > 1 ? Math.sqrt(6 / size(shape.slice(1))) : name.endsWith('running_var') ? 0.5 : 0.1
  const data = new Float32Array(size(shape))
  for (let i = 0; i < data.length; i++) {
    const a = (Math.imul(i, 2654435761) + Math.imul(code, 40503)) >>> 0
    const b = Math.imul(a ^ (a >>> 15), 2246822519) >>> 0
    data[i] = bias + scale * ((2 * ((b ^ (b >>> 13)) >>> 0)) / 2 ** 32 - 1)
  }
  return floats(shape, data)
}
const network = (name: string) => {
  const found = featureNetworks.find((n) => n.name === name)
  if (found === undefined) throw new Error(name)
  return found
}
const picture = Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin(0.1 * i))

describe('networks', () => {
  it("InceptionV3 is pytorch-fid's, on torchvision's blocks", async () => {
    const { features, published } = network('inception-v3')
    const graph = optimise(right(freeze({ features: features(input('x', float(1, 3, 32, 32))) })))
    const constants = Object.fromEntries(parameters(graph).map((p) => [p.name, weight(published(p.name), p.shape)]))
    const found = await runOn(onnx('cpu'), { mode: 'sampling', constants })(graph, {
      x: floats([1, 3, 32, 32], picture),
    })
    const y = Array.from(found.features?.data ?? [], Number)
    const near = (values: readonly number[]) => values.map((v) => expect.closeTo(v, 3))
    expect(y.length).toBe(2048)
    expect(y.slice(0, 6)).toEqual(
      near([1.349114179611206, 0.08303428441286087, 0.17056713998317719, 0, 0.34948503971099854, 1.0113623142242432]),
    )
    expect(y.slice(1000, 1003)).toEqual(near([0.4884280264377594, 0, 0]))
    expect(y.slice(-3)).toEqual(near([2.590498924255371, 0.8412196040153503, 0]))
    expect(y.reduce((a, b) => a + b, 0) / 2048).toBeCloseTo(0.9018617868423462, 4)
  })
  it('know their files by names that no other has', () => {
    expect(new Set(featureNetworks.map(({ mark }) => mark)).size).toBe(featureNetworks.length)
    for (const { features, published, mark } of featureNetworks) {
      const names = parameters(right(freeze({ y: features(input('x', float(1, 3, 64, 64))) }))).map((p) =>
        published(p.name),
      )
      expect(names).toContain(mark)
    }
  })
})

describe('resize', () => {
  const resized = async (
    way: 'bilinear' | 'area',
    shape: Shape,
    to: readonly [number, number],
    data: readonly number[],
  ) => {
    const y = resize(way, ...to)(input('x', float(...shape)))
    const found = await runOn(reference)(right(freeze({ y })), { x: floats(shape, Float32Array.from(data)) })
    return Array.from(found.y?.data ?? [], Number)
  }
  it("bilinear is torch's, without antialiasing, align_corners false", async () => {
    const ramp = Array.from({ length: 12 }, (_, i) => i * i)
    expect(await resized('bilinear', [1, 1, 3, 4], [2, 7], ramp)).toEqual(
      [
        4.0, 5.0714288, 6.7857141, 9.500001, 12.500001, 16.5000019, 19.0, 52.0, 57.3571396, 65.9285736, 75.5,
        85.3571472, 96.2142868, 103.0000076,
      ].map((v) => expect.closeTo(v, 4)),
    )
  })
  it('area keeps means, and is the mean of blocks where they fit', async () => {
    const data = Array.from({ length: 36 }, (_, i) => Math.sin(i))
    const whole = data.reduce((a, b) => a + b, 0) / 36
    const odd = await resized('area', [1, 1, 6, 6], [4, 5], data)
    expect(odd.reduce((a, b) => a + b, 0) / 20).toBeCloseTo(whole, 6)
    const blocks = await resized('area', [1, 1, 6, 6], [3, 3], data)
    const first = [0, 1, 6, 7].reduce((sum, i) => sum + Math.sin(i), 0) / 4
    expect(blocks[0]).toBeCloseTo(first, 6)
  })
})
