import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { floats, ints, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, int, size } from '../../src/graph/types.ts'
import { fromLayout, toLayout } from '../../src/io/key-map.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import { inLayout } from '../../src/nn/layout.ts'
import { unet } from '../../src/nn/unet/unet.ts'
import { E } from '../../src/prelude.ts'
import {
  attentionNamesIn,
  diffusersUNet2d,
  toTheirs,
  unet2dDocument,
  unet2dNames,
} from '../../src/published/diffusers/index.ts'
import { anything, decode, dictionary, list, number, record } from '../../src/schema.ts'

/**
 * `UNet2DModel` with weights by a formula, in float64 on PyTorch 2.15, written apart from this library by diffusers' source: as diffusers
 * trains them, and as google/ddpm-* are (zeros behind, sines first, one head, eps 1e-6).
 */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const golden = record({ config: dictionary(anything), keys: dictionary(list(number())), y: list(number()) })
const cases = right(
  decode(list(golden))(JSON.parse(readFileSync(new URL('./diffusers-unet-2d.json', import.meta.url), 'utf8'))),
)

const filled = (key: string, shape: readonly number[]): StoredArrays[string] => {
  const hash = [...key].reduce((sum, letter, i) => sum + (i + 1) * letter.charCodeAt(0), 0) % 9973
  const [middle, range] = shape.length > 1 ? [0, Math.sqrt(3 / size(shape.slice(1)))] : [0.5, 0.5]
  const at = (i: number): number => {
    const x = Math.sin(0.013 * hash + 0.71 * i + 1) * 43758.5453
    return middle + range * (2 * (x - Math.floor(x)) - 1)
  }
  return { dtype: 'float32', shape, data: Float32Array.from({ length: size(shape) }, (_, i) => at(i)) }
}
const feeds: Values = {
  x: floats(
    [2, 3, 8, 8],
    Float64Array.from({ length: 384 }, (_, i) => Math.sin(0.37 * i)),
  ),
  t: ints([2], Int32Array.of(3, 977)),
}
const predicted = async (outputs: { readonly y: Tensor }, arrays: StoredArrays) => {
  const constants = Object.fromEntries(
    Object.entries(arrays).flatMap(([name, { shape, data }]) =>
      data instanceof Float32Array ? [[name, floats(shape, data)]] : [],
    ),
  )
  const compiled = right(await reference.compile(right(freeze(outputs)), { mode: 'sampling', constants })())
  return [...(right(await compiled.run(feeds)()).y?.data ?? [])].map(Number)
}
const outputsOf = (config: Parameters<typeof unet>[1]) => ({
  y: unet('', config)(input('x', float(2, 3, 8, 8)), input('t', int(2))),
})

describe.each(cases)('a UNet2DModel', ({ config, keys, y }) => {
  const { config: network } = right(diffusersUNet2d(config))
  const outputs = outputsOf(network.unet)
  const theirs = Object.fromEntries(Object.entries(keys).map(([key, shape]) => [key, filled(key, shape)]))

  it('has the names and shapes of diffusers, and its numbers', async () => {
    const layout = toTheirs(unet2dNames(network.unet))
    const there = parameters(right(freeze(inLayout(layout)(outputs))))
    expect(Object.fromEntries(there.map(({ name, shape }) => [name, shape]))).toEqual(keys)
    const names = parameters(right(freeze(outputs))).map(({ name }) => name)
    const { arrays, left } = right(fromLayout(layout, names)(theirs))
    expect(left).toEqual([])
    const found = await predicted(outputs, arrays)
    const apart = Math.max(...y.map((value, i) => Math.abs(value - (found[8 * i] ?? Number.NaN))))
    expect(apart).toBeLessThan(2e-6)
    expect(right(toLayout(layout)(arrays))).toEqual(theirs)
    expect(right(unet2dDocument(network))).toMatchObject(config)
  })

  it('written of heads that lie together, as the original has them, is the same network', async () => {
    const { heads } = network.unet
    const legacy = { ...network.unet, attention: { kind: 'self', order: 'legacy' } } as const
    const names = parameters(right(freeze(outputs))).map(({ name }) => name)
    const { arrays } = right(fromLayout(toTheirs(unet2dNames(legacy)), names)(theirs))
    const other = right(fromLayout(toTheirs(unet2dNames(network.unet)), names)(theirs)).arrays
    expect(JSON.stringify(arrays) === JSON.stringify(other)).toBe(heads.by === 'count')
    const found = await predicted(outputsOf(legacy), arrays)
    const apart = Math.max(...y.map((value, i) => Math.abs(value - (found[8 * i] ?? Number.NaN))))
    expect(apart).toBeLessThan(2e-6)
  })

  it('is known by the older names of its attention too', () => {
    const layout = toTheirs(unet2dNames(network.unet, 'older'))
    const key = layout('middle_block.1.qkv.weight')
    expect(key?.joined?.keys.map((name) => name.split('.').at(-2))).toEqual(['query', 'key', 'value'])
    expect(attentionNamesIn(key?.joined?.keys ?? [])).toBe('older')
  })
})
