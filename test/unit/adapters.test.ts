import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type Adapter,
  adapterFile,
  adapterFormats,
  adapterOf,
  type LowRank,
  type Network,
  readAdapter,
  textNetwork,
  unetNetwork,
} from '../../src/adapters/index.ts'
import { productOf } from '../../src/adapters/low-rank.ts'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, int, type Shape, size } from '../../src/graph/types.ts'
import { nn } from '../../src/index.ts'
import { unwritten, writeSafetensors } from '../../src/io/safetensors-writer.ts'
import type { StoredArray, StoredArrays } from '../../src/io/stored.ts'
import { clipText } from '../../src/nn/text/clip.ts'
import { E } from '../../src/prelude.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const said = (c: Checked<unknown>): string => (E.isLeft(c) ? showErrors(c.left) : 'nothing')

const config: nn.UNetConfig = {
  inChannels: 4,
  outChannels: 4,
  modelChannels: 32,
  resBlocks: 1,
  attentionFactors: [1],
  heads: { by: 'count', count: 2 },
  channelMultipliers: [1, 2],
  resample: 'conv',
  scaleShiftNorm: false,
  dropout: 0,
  attention: { kind: 'transformer', contextDim: 12, depth: 1, widenHeads: true },
  classes: null,
  codebook: null,
}
const text = {
  ...{ vocabulary: 20, width: 12, layers: 2, heads: 2, positions: 8, mlpWidth: null, activation: 'gelu' as const },
  ...{ projection: 6, eps: 1e-5, endToken: null },
}
const shapesOf = (outputs: Readonly<Record<string, Tensor>>): Network['shapes'] =>
  Object.fromEntries(parameters(right(freeze(outputs, { sharing: 'by name' }))).map(({ name, shape }) => [name, shape]))
const unet = unetNetwork(
  config,
  shapesOf({
    y: nn.unet('', config)(input('x', float(1, 4, 2, 2)), input('t', float(1)), {
      context: input('c', float(1, 1, 12)),
    }),
  }),
)
const encoder = (k: number): Network => {
  const encode = clipText('', text)
  const { last, projected } = encode(input('ids', int(1, 8)))
  return textNetwork(k, text, shapesOf({ last, ...(projected === undefined ? {} : { projected }) }))
}
const one = [unet, encoder(0)]
const two = [...one, encoder(1)]

const floats = (shape: Shape, from = 0): StoredArray => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: size(shape) }, (_, i) => Math.fround(Math.sin(i + from))),
})
const scalar = (x: number): StoredArray => ({ dtype: 'float32', shape: [], data: Float32Array.of(x) })
const read = (tensors: StoredArrays, networks = one, metadata = {}): Checked<Adapter> =>
  adapterOf({ tensors, metadata }, networks, 'a.safetensors')

const block = 'input_blocks.1.1.transformer_blocks.0'
const theirBlock = 'down_blocks.0.attentions.0.transformer_blocks.0'
const layer = 'text_model.encoder.layers.1'
const ours = { unet: `${block}.attn2.to_k.weight`, text: `transformer.${layer}.self_attn.q_proj.weight` }
const [down, up] = [floats([3, 12]), floats([32, 3], 5)]
const [textDown, textUp] = [floats([3, 12], 9), floats([12, 3], 7)]

describe('one adapter by all of its names', () => {
  const flat = (name: string): string => name.replaceAll('.', '_')
  const kohya = (unetName: string, textPrefix: string): StoredArrays => ({
    [`lora_unet_${flat(unetName)}_attn2_to_k.lora_down.weight`]: down,
    [`lora_unet_${flat(unetName)}_attn2_to_k.lora_up.weight`]: up,
    [`${textPrefix}_${flat(layer)}_self_attn_q_proj.lora_down.weight`]: textDown,
    [`${textPrefix}_${flat(layer)}_self_attn_q_proj.lora_up.weight`]: textUp,
  })
  const dotted = (unetPrefix: string, textPrefix: string, [a, b]: readonly [string, string]): StoredArrays => ({
    [`${unetPrefix}.attn2.to_k.${a}.weight`]: down,
    [`${unetPrefix}.attn2.to_k.${b}.weight`]: up,
    [`${textPrefix}${layer}.self_attn.q_proj.${a}.weight`]: textDown,
    [`${textPrefix}${layer}.self_attn.q_proj.${b}.weight`]: textUp,
  })
  const files: Readonly<Record<string, StoredArrays>> = {
    'peft, by diffusers': dotted(`unet.${theirBlock}`, 'text_encoder.', ['lora_A', 'lora_B']),
    "peft, an adapter's name": dotted(`unet.${theirBlock}`, 'text_encoder.', ['lora_A.default', 'lora_B.default']),
    'training scripts': dotted(`unet.${theirBlock}`, 'text_encoder.', ['lora.down', 'lora.up']),
    'the first text encoders': dotted(`unet.${theirBlock}`, 'text_encoder.', [
      'lora_linear_layer.down',
      'lora_linear_layer.up',
    ]),
    'whole checkpoints': dotted(`diffusion_model.${block}`, 'text_encoder.', ['lora_down', 'lora_up']),
    'attention processors': {
      [`${theirBlock}.attn2.processor.to_k_lora.down.weight`]: down,
      [`${theirBlock}.attn2.processor.to_k_lora.up.weight`]: up,
      [`text_encoder.${layer}.self_attn.to_q_lora.down.weight`]: textDown,
      [`text_encoder.${layer}.self_attn.to_q_lora.up.weight`]: textUp,
    },
    kohya: kohya(theirBlock, 'lora_te'),
    'kohya, as XL': kohya(block, 'lora_te1'),
  }
  const expected = { rank: 3, factor: 1 }
  it.each(Object.entries(files))('%s', (_, tensors) => {
    expect(right(read(tensors))).toEqual({
      unet: { [ours.unet]: { ...expected, shape: [32, 12], down: down.data, up: up.data } },
      'text.0': { [ours.text]: { ...expected, shape: [12, 12], down: textDown.data, up: textUp.data } },
    })
  })
})

describe('factors', () => {
  const arrays = {
    [`unet.${theirBlock}.attn2.to_k.lora_A.weight`]: down,
    [`unet.${theirBlock}.attn2.to_k.lora_B.weight`]: up,
  }
  const factor = (metadata: object, tensors: StoredArrays = arrays): number | undefined =>
    right(read(tensors, one, { lora_adapter_metadata: JSON.stringify(metadata) })).unet?.[ours.unet]?.factor
  it('are alpha over rank, as kohya, peft, and peft by module and root have it', () => {
    const key = `lora_unet_${theirBlock.replaceAll('.', '_')}_attn2_to_k`
    const kohya = { [`${key}.lora_down.weight`]: down, [`${key}.lora_up.weight`]: up, [`${key}.alpha`]: scalar(6) }
    expect(factor({}, kohya)).toBe(2)
    expect(factor({ 'unet.lora_alpha': 6, 'text_encoder.lora_alpha': 9 })).toBe(2)
    expect(factor({ 'unet.lora_alpha': 6, 'unet.alpha_pattern': { 'attn2.to_k': 9 } })).toBe(3)
    expect(factor({ 'unet.lora_alpha': 6, 'unet.alpha_pattern': { to_v: 9 } })).toBe(2)
    expect(factor({ 'unet.lora_alpha': 3, 'unet.use_rslora': true })).toBeCloseTo(Math.sqrt(3), 12)
  })
  it('of DoRA and of patterns that are no names are refused', () => {
    const refused = (metadata: object) => said(read(arrays, one, { lora_adapter_metadata: JSON.stringify(metadata) }))
    expect(refused({ 'unet.use_dora': true })).toContain('DoRA')
    expect(refused({ 'unet.alpha_pattern': { '(a|b)*c': 1 } })).toContain('(a|b)*c')
    expect(refused({ 'unet.lora_alpha': 'much' })).toContain('fields of other types')
  })
})

describe("peft's own folder", () => {
  it('says alpha in a file beside the arrays, and is nothing without it', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'adapter-'))
    try {
      const path = join(dir, 'adapter_model.safetensors')
      const key = `base_model.model.${theirBlock}.attn2.to_k`
      const arrays = { [`${key}.lora_A.weight`]: down, [`${key}.lora_B.weight`]: up }
      right(await writeSafetensors(path, unwritten(arrays))())
      expect(said(await readAdapter(path, one)())).toContain('adapter_config.json')
      writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify({ r: 3, lora_alpha: 12, alpha_pattern: {} }))
      expect(right(await readAdapter(path, one)()).unet?.[ours.unet]?.factor).toBe(4)
      writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify({ r: 3, lora_alpha: 12, use_dora: true }))
      expect(said(await readAdapter(path, one)())).toContain('DoRA')
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})

describe('files of other forms', () => {
  const module = `unet.${theirBlock}.attn2.to_k`
  const change = (tensors: StoredArrays): LowRank => {
    const found = right(read(tensors)).unet
    const [first] = Object.values(found ?? {})
    if (first === undefined) throw new Error('no change')
    return first
  }
  const product = (a: StoredArray, b: StoredArray): readonly number[] => {
    const [n = 0, k = 0] = a.shape
    const columns = b.data.length / k
    return Array.from({ length: n * columns }, (_, i) =>
      Array.from(
        { length: k },
        (_, j) => Number(a.data[Math.floor(i / columns) * k + j]) * Number(b.data[j * columns + (i % columns)]),
      ).reduce((x, y) => x + y, 0),
    )
  }
  const close = (found: Float64Array, expected: readonly number[]): void => {
    expect(found).toHaveLength(expected.length)
    expect(Math.max(...expected.map((x, i) => Math.abs(x - (found[i] ?? 0))))).toBeLessThan(1e-5)
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.1)
  }
  it('LoHa is the product of two products, element by element', () => {
    const [a1, b1, a2, b2] = [floats([32, 2]), floats([2, 12], 1), floats([32, 2], 2), floats([2, 12], 3)]
    const parts = { hada_w1_a: a1, hada_w1_b: b1, hada_w2_a: a2, hada_w2_b: b2, alpha: scalar(1) }
    const found = change(Object.fromEntries(Object.entries(parts).map(([part, array]) => [`${module}.${part}`, array])))
    const second = product(a2, b2)
    close(
      productOf(found),
      product(a1, b1).map((x, i) => 0.5 * x * (second[i] ?? 0)),
    )
  })
  it('LoKr is a Kronecker product', () => {
    const [w1, a, b] = [floats([4, 3]), floats([8, 2], 1), floats([2, 4], 2)]
    const parts = { lokr_w1: w1, lokr_w2_a: a, lokr_w2_b: b, alpha: scalar(1) }
    const found = change(Object.fromEntries(Object.entries(parts).map(([part, array]) => [`${module}.${part}`, array])))
    const w2 = product(a, b)
    const expected = Array.from({ length: 32 * 12 }, (_, i) => {
      const [row, column] = [Math.floor(i / 12), i % 12]
      return (
        0.5 *
        Number(w1.data[Math.floor(row / 8) * 3 + Math.floor(column / 4)]) *
        (w2[(row % 8) * 4 + (column % 4)] ?? 0)
      )
    })
    close(productOf(found), expected)
  })
  it('a convolution in three parts is one in two', () => {
    const conv = 'unet.down_blocks.0.resnets.0.conv1'
    const [first, mid, last] = [floats([3, 32, 1, 1]), floats([2, 3, 3, 3], 1), floats([32, 2, 1, 1], 2)]
    const found = change({
      [`${conv}.lora_down.weight`]: first,
      [`${conv}.lora_mid.weight`]: mid,
      [`${conv}.lora_up.weight`]: last,
    })
    const middle = Array.from({ length: 2 * 32 * 9 }, (_, i) => {
      const [r, c, tap] = [Math.floor(i / 288), Math.floor(i / 9) % 32, i % 9]
      return [0, 1, 2].reduce((x, k) => x + Number(mid.data[(r * 3 + k) * 9 + tap]) * Number(first.data[k * 32 + c]), 0)
    })
    close(productOf(found), product(last, { dtype: 'float64', shape: [2, 288], data: Float64Array.from(middle) }))
  })
  it('what OpenCLIP packs or turns is each of ours', () => {
    const packed = floats([36, 3], 4)
    const found = right(
      read({
        'text_encoder.transformer.resblocks.1.attn.in_proj.lora_A.weight': textDown,
        'text_encoder.transformer.resblocks.1.attn.in_proj.lora_B.weight': packed,
        'text_encoder.text_projection.lora_A.weight': textDown,
        'text_encoder.text_projection.lora_B.weight': floats([6, 3]),
      }),
    )['text.0']
    const [q, k, v] = ['q', 'k', 'v'].map((name) => found?.[`transformer.${layer}.self_attn.${name}_proj.weight`])
    expect([...(q?.up ?? []), ...(k?.up ?? []), ...(v?.up ?? [])]).toEqual([...packed.data])
    expect([q, k, v].map((x) => x?.down)).toEqual([textDown.data, textDown.data, textDown.data])
    expect(found?.['transformer.text_projection.weight']?.shape).toEqual([6, 12])
  })
})

describe('what is not an adapter of the model', () => {
  it('is one error with all keys that find no place, and the nearest names', () => {
    const lost = said(
      read({
        [`unet.${theirBlock}.attn2.to_k.lora_A.weight`]: down,
        [`unet.${theirBlock}.attn2.to_k.lora_B.weight`]: up,
        [`unet.${theirBlock}.attn3.to_k.lora_A.weight`]: down,
        [`unet.${theirBlock}.attn3.to_k.lora_B.weight`]: up,
        'unet.nothing.alike': up,
      }),
    )
    expect(lost).toContain('3 keys that find no place')
    expect(lost).toContain(
      `unet.${theirBlock}.attn3.to_k.{lora_A.weight, lora_B.weight} (the nearest is unet.${theirBlock}.attn`,
    )
    expect(lost).toContain('unet.nothing.alike')
    expect(lost).not.toContain(`unet.${theirBlock}.attn2.to_k.{`)
    const other = said(read({ 'lora_unet_double_blocks_0_img_attn_proj.lora_down.weight': down }, one))
    expect(other).toContain('another kind of model')
  })
  it.each([
    ['DoRA', { 'unet.x.dora_scale': up }],
    ['(IA)^3', { 'lora_unet_x.on_input': up }],
    ['Tucker', { 'lora_unet_x.hada_t1': up }],
    ['whole differences', { 'lora_unet_x.diff': up }],
    ['OFT', { 'lora_unet_x.oft_blocks': up }],
  ])('%s is refused by name', (kind, tensors) => expect(said(read(tensors))).toContain(kind))
  it('arrays that do not fit, lack a part or come twice are named', () => {
    const at = `unet.${theirBlock}.attn2.to_k`
    expect(said(read({ [`${at}.lora_A.weight`]: floats([3, 8]), [`${at}.lora_B.weight`]: up }))).toContain('[32, 12]')
    expect(said(read({ [`${at}.lora_A.weight`]: down, [`${at}.lora_B.weight`]: floats([32, 2]) }))).toContain('columns')
    expect(said(read({ [`${at}.lora_A.weight`]: down }))).toContain('both down and up')
    expect(
      said(read({ [`${at}.lora_A.weight`]: down, [`${at}.lora_B.weight`]: up, [`${at}.lora.up.weight`]: up })),
    ).toContain('another')
    const infinite: StoredArray = { dtype: 'float32', shape: [32, 3], data: new Float32Array(96).fill(Number.NaN) }
    expect(said(read({ [`${at}.lora_A.weight`]: down, [`${at}.lora_B.weight`]: infinite }))).toContain('finite numbers')
    expect(said(read({}))).toContain('no array')
  })
})

describe.each(adapterFormats)('in the format of %s', (format) => {
  /** A change of some of the weights, of ranks and factors of their own. */
  const made = (networks: readonly Network[]): Adapter =>
    Object.fromEntries(
      networks.map(({ component, shapes }) => [
        component,
        Object.fromEntries(
          Object.entries(shapes)
            .filter(([, shape], i) => shape.length > 1 && i % 10 < 2)
            .map(([name, shape], i): [string, LowRank] => {
              const rank = 1 + (i % 2)
              const [out = 1, ...rest] = shape
              const numbers = (n: number): Float32Array => Float32Array.from({ length: n }, (_, j) => i + j / 64)
              return [
                name,
                {
                  rank,
                  factor: i % 3 === 0 ? 0.5 : 2,
                  shape,
                  down: numbers(rank * size(rest)),
                  up: numbers(out * rank),
                },
              ]
            }),
        ),
      ]),
    )
  it.each([
    ['one text encoder', one],
    ['two', two],
  ] as const)('an adapter of a model with %s comes back as it was', (_, networks) => {
    const adapter = made(networks)
    const { tensors, metadata } = right(adapterFile(adapter, networks, format))
    expect(right(adapterOf({ tensors, metadata }, networks, 'a'))).toEqual(adapter)
    expect(right(adapterFile(right(adapterOf({ tensors, metadata }, networks, 'a')), networks, format))).toEqual({
      tensors,
      metadata,
    })
  })
  it('has the names that the others read', () => {
    const shape = [32, 12]
    const change: LowRank = {
      rank: 3,
      factor: 1,
      shape,
      down: Float32Array.from(down.data, Number),
      up: Float32Array.from(up.data, Number),
    }
    const keys = (networks: readonly Network[]) =>
      Object.keys(right(adapterFile({ unet: { [ours.unet]: change } }, networks, format)).tensors)
    const flat = (of: string): string => `lora_unet_${of.replaceAll('.', '_')}_attn2_to_k`
    const kohya = (of: string): readonly string[] =>
      ['lora_down.weight', 'lora_up.weight', 'alpha'].map((part) => `${flat(of)}.${part}`)
    const diffusers = [`unet.${theirBlock}.attn2.to_k.lora_A.weight`, `unet.${theirBlock}.attn2.to_k.lora_B.weight`]
    expect(keys(one)).toEqual(format === 'kohya' ? kohya(theirBlock) : diffusers)
    expect(keys(two)).toEqual(format === 'kohya' ? kohya(block) : diffusers)
  })
  it('refuses what the model does not have', () => {
    const change: LowRank = { rank: 0, factor: 1, shape: [1, 1], down: new Float32Array(), up: new Float32Array() }
    expect(said(adapterFile({ unet: { 'no.weight': change } }, one, format))).toContain('no.weight')
  })
})
