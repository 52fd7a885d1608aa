import { describe, expect, it } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, size } from '../../src/graph/types.ts'
import { fromLayout, toLayout } from '../../src/io/key-map.ts'
import type { StoredArray, StoredArrays } from '../../src/io/stored.ts'
import {
  autoencoderConfig,
  type ControlNetConfig,
  controlNet,
  controlNetConfig,
  encode,
  type Residuals,
  tinyAutoencoderConfig,
  tinyDecode,
  tinyEncode,
  unet,
} from '../../src/nn/index.ts'
import { inLayout } from '../../src/nn/layout.ts'
import { E, pipe } from '../../src/prelude.ts'
import {
  attentionNamesIn,
  autoencoderNames,
  controlNetNames,
  hintWidthsIn,
  taesdNames,
  toOurs,
  toTheirs,
} from '../../src/published/diffusers/index.ts'
import { type Codec, decode } from '../../src/schema.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const read = <A>(codec: Codec<A>, document: unknown): A => right(decode(codec)(document))
type Outputs = Readonly<Record<string, Tensor>>
const own = (outputs: Outputs) => parameters(right(freeze(outputs)))
const filled = (outputs: Outputs): StoredArrays =>
  Object.fromEntries(
    own(outputs).map(({ name, shape }, place): readonly [string, StoredArray] => [
      name,
      {
        dtype: 'float32',
        shape,
        data: Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(i + 7 * place) / 8),
      },
    ]),
  )
const valuesOf = (arrays: StoredArrays): Values =>
  Object.fromEntries(
    Object.entries(arrays).flatMap(([name, { data, shape }]) =>
      data instanceof Float32Array ? [[name, floats(shape, data)]] : [],
    ),
  )
const run = async (outputs: Outputs, arrays: StoredArrays, feeds: Values) => {
  const program = right(
    await reference.compile(right(freeze(outputs)), { mode: 'sampling', constants: valuesOf(arrays) })(),
  )
  return right(await program.run(feeds)())
}
const pixels = (...shape: readonly number[]) =>
  floats(
    shape,
    Float32Array.from({ length: size(shape) }, (_, i) => Math.cos(i)),
  )

const c: ControlNetConfig = read(controlNetConfig, {
  inChannels: 4,
  hintChannels: 3,
  hintWidths: [4, 8],
  modelChannels: 32,
  resBlocks: 1,
  attentionFactors: [2],
  channelMultipliers: [1, 2],
  heads: { by: 'count', count: 2 },
  attention: { kind: 'transformer', contextDim: 8 },
})
const [x, t] = [input('x', float(1, 4, 4, 4)), input('t', float(1))]
const context = input('context', float(1, 3, 8))
const hint = input('hint', float(1, 3, 8, 8))
const outputsOf = ({ down, middle }: Residuals): Outputs => ({
  ...Object.fromEntries(down.map((d, i) => [`down.${i}`, d])),
  middle,
})
const control = controlNet('', c)(x, t, hint, { context })

describe('a ControlNet', () => {
  it('gives a residual for each input block of its U-Net and the middle, all zero before it is trained', () => {
    const net = unet('unet', { ...c, outChannels: 4, codebook: null })(x, t, { context, residuals: control })
    expect(E.isRight(freeze({ net }))).toBe(true)
    const starts = own(outputsOf(control)).filter(({ name }) =>
      /^(zero_convs|middle_block_out|input_hint_block.6)/.test(name),
    )
    expect(starts.map(({ init }) => init.kind)).toEqual(starts.map(() => 'zeros'))
    expect(starts).toHaveLength(2 * (4 + 1 + 1))
  })
  it('says the widths of its first block by the shapes of its arrays', () => {
    const shapes = Object.fromEntries(own(outputsOf(control)).map(({ name, shape }) => [name, shape]))
    expect(hintWidthsIn(shapes)).toEqual([4, 8])
    expect(hintWidthsIn({})).toBeUndefined()
  })
  it("goes through diffusers' names and back unchanged", () => {
    const arrays = filled(outputsOf(control))
    const names = controlNetNames(c)
    const theirs = right(toLayout(toTheirs(names))(arrays))
    expect(Object.keys(theirs).map(toOurs(names))).toEqual(Object.keys(arrays))
    const back = right(fromLayout(toTheirs(names), Object.keys(arrays))(theirs))
    expect(back).toEqual({ arrays, left: [] })
  })
})

describe('an autoencoder', () => {
  const kl = read(autoencoderConfig, {
    inChannels: 3,
    outChannels: 3,
    resolution: 8,
    channels: 32,
    resBlocks: 1,
    channelMultipliers: [1],
    latentChannels: 2,
    zChannels: 2,
  })
  const outputs = { moments: pipe(input('x', float(1, 3, 4, 4)), encode('', kl)) }

  it.each(['older', 'newer'] as const)('in the %s names of its attention gives the same numbers', async (names) => {
    const layout = toTheirs(autoencoderNames(kl, names))
    const arrays = filled(outputs)
    const theirs = right(toLayout(layout)(arrays))
    expect(attentionNamesIn(Object.keys(theirs))).toBe(names)
    const feeds = { x: pixels(1, 3, 4, 4) }
    expect(await run(inLayout(layout)(outputs), theirs, feeds)).toEqual(await run(outputs, arrays, feeds))
  })

  it('that is tiny has the sizes of its levels, and the names of the files it comes from', () => {
    const tiny = read(tinyAutoencoderConfig, {
      inChannels: 3,
      outChannels: 3,
      latentChannels: 4,
      channels: 8,
      encoderBlocks: [1, 2],
      decoderBlocks: [2, 1],
    })
    const [latents, picture] = [
      pipe(input('x', float(1, 3, 8, 8)), tinyEncode('', tiny)),
      pipe(input('z', float(1, 4, 4, 4)), tinyDecode('', tiny)),
    ]
    expect([latents.shape, picture.shape]).toEqual([
      [1, 4, 4, 4],
      [1, 3, 8, 8],
    ])
    const names = own({ picture }).map(({ name }) => name)
    const keys = names.map((name) => toTheirs(taesdNames('decoder', tiny))(name)?.key ?? '')
    expect(keys.slice(0, 2)).toEqual(['1.weight', '1.bias'])
    expect(keys.map(toOurs(taesdNames('decoder', tiny)))).toEqual(names)
    const places = own({ latents }).map(({ name }) => toTheirs(taesdNames('encoder', tiny))(name)?.key)
    expect(places.at(-1)).toBe('5.bias')
  })
})
