import { describe, expect, it } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { noises, parameters } from '../../src/graph/graph.ts'
import { float, int } from '../../src/graph/types.ts'
import {
  type AutoencoderConfig,
  autoencoderConfig,
  decode as decodeLatents,
  encode,
  encoderUNet,
  encoderUNetConfig,
  publishedAutoencoder,
  publishedUNet,
  unet,
  unetConfig,
} from '../../src/nn/index.ts'
import { E } from '../../src/prelude.ts'
import { type Codec, decode } from '../../src/schema.ts'

const read = <A>(codec: Codec<A>, document: unknown): A => {
  const decoded = decode(codec)(document)
  if (E.isLeft(decoded)) throw new Error(JSON.stringify(decoded.left))
  return decoded.right
}
const graph = (y: Tensor) => {
  const g = freeze({ y })
  if (E.isLeft(g)) throw new Error(JSON.stringify(g.left))
  return g.right
}
const names = (y: Tensor): readonly string[] => parameters(graph(y)).map((p) => p.name)
const faults = (y: Tensor) => {
  const g = freeze({ y })
  return E.isLeft(g) ? g.left.map((e) => e.at) : []
}

const small = read(autoencoderConfig, {
  inChannels: 3,
  outChannels: 3,
  resolution: 16,
  channels: 32,
  resBlocks: 1,
  channelMultipliers: [1, 2],
  latentChannels: 4,
  zChannels: 4,
})
const pictures = (side: number) => input('x', float(2, 3, side, side))

describe('the autoencoder', () => {
  const attends = (c: AutoencoderConfig, side: number) =>
    names(encode('', c)(pictures(side))).filter((n) => n.endsWith('attn.0.q.bias'))
  it('gives two moments a channel at half the size, and the picture back', () => {
    expect(encode('', small)(pictures(16)).shape).toEqual([2, 8, 8, 8])
    expect(encode('', { ...small, doubleZ: false })(pictures(16)).shape).toEqual([2, 4, 8, 8])
    expect(decodeLatents('', small)(input('z', float(2, 4, 8, 8))).shape).toEqual([2, 3, 16, 16])
  })
  it('places attention by its configured resolution, whatever the picture', () => {
    const c = { ...small, attentionResolutions: [8] }
    expect(attends(c, 16)).toEqual(['encoder.down.1.attn.0.q.bias'])
    expect(attends(c, 64)).toEqual(attends(c, 16))
    expect(attends(small, 8)).toEqual([])
  })
  it('draws noise for dropout only while training', () => {
    const c = { ...small, dropout: 0.1 }
    expect(noises(graph(encode('', c)(pictures(16))))).toEqual([])
    expect(noises(graph(encode('', c, { training: true })(pictures(16)))).map((n) => n.name)).toContain(
      'encoder.down.0.block.0.dropout.noise',
    )
  })
  it('reports where channels do not make 32 groups, and nothing that follows from it', () => {
    const at = faults(encode('', { ...small, channels: 40 })(pictures(16)))
    expect(at).toEqual(['encoder.down.0.block.0.norm1 (groupNorm)'])
  })
})

const net = read(unetConfig, {
  inChannels: 4,
  outChannels: 4,
  modelChannels: 32,
  resBlocks: 1,
  attentionFactors: [2],
  channelMultipliers: [1, 2],
  heads: { by: 'count', count: 2 },
})
const x = input('x', float(2, 4, 8, 8))
const t = input('t', int(2))
const y = input('y', int(2))
const context = input('context', float(2, 5, 12))

describe('the U-Net', () => {
  it('gives the shape of its input, at any size that its levels divide', () => {
    expect(unet('', net)(x, t).shape).toEqual([2, 4, 8, 8])
    expect(unet('', net)(input('x', float(2, 4, 6, 10)), t).shape).toEqual([2, 4, 6, 10])
  })
  it('reports a size that its levels do not divide', () =>
    expect(faults(unet('', net)(input('x', float(2, 4, 7, 7)), t))).toHaveLength(1))
  it('takes labels if and only if it has classes', () => {
    expect(names(unet('', { ...net, classes: 10 })(x, t, { y }))).toContain('label_emb.weight')
    expect(faults(unet('', { ...net, classes: 10 })(x, t))).toEqual(['y'])
    expect(faults(unet('', net)(x, t, { y }))).toEqual(['y'])
  })
  it('takes a context of its width if and only if it has transformers, and says all that is wrong at once', () => {
    const told = { ...net, attention: { kind: 'transformer', contextDim: 12, depth: 1, widenHeads: true } as const }
    expect(faults(unet('', told)(x, t, { context }))).toEqual([])
    expect(faults(unet('', told)(x, t))).toEqual(['context'])
    expect(faults(unet('', told)(x, t, { context: input('context', float(2, 5, 11)) }))).toContain('context')
    expect(faults(unet('', net)(x, t, { context, y })).toSorted()).toEqual(['context', 'y'])
  })
  it('takes a vector, linear projections, a depth and a number of heads for each level', () => {
    const c = read(unetConfig, {
      ...net,
      vector: 7,
      heads: { by: 'levels', counts: [2, 4] },
      attention: { kind: 'transformer', contextDim: 12, depth: [1, 2], projection: 'linear', contextOnlyFactors: [2] },
    })
    const vector = input('vector', float(2, 7))
    const shapes = Object.fromEntries(
      parameters(graph(unet('', c)(x, t, { y: vector, context }))).map((p) => [p.name, p.shape]),
    )
    expect(shapes['label_emb.0.0.weight']).toEqual([128, 7])
    expect(shapes['input_blocks.3.1.proj_in.weight']).toEqual([64, 64])
    expect(shapes['input_blocks.3.1.transformer_blocks.1.attn1.to_k.weight']).toEqual([64, 12])
    expect(shapes['middle_block.1.transformer_blocks.1.attn1.to_k.weight']).toEqual([64, 64])
    expect(faults(unet('', c)(x, t, { y, context }))).toEqual(['y'])
    expect(faults(unet('', { ...c, classes: 3 })(x, t, { y: vector, context }))).toEqual(['y'])
    expect(faults(unet('', { ...c, heads: { by: 'levels', counts: [2] } })(x, t, { y: vector, context }))).toContain(
      'heads',
    )
  })
  it('adds the residuals of another network, one for each input block', () => {
    const middle = input('middle', float(2, 64, 4, 4))
    const down = [32, 32, 32, 64].map((c, i) => input(`down.${i}`, float(2, c, i < 2 ? 8 : 4, i < 2 ? 8 : 4)))
    expect(faults(unet('', net)(x, t, { residuals: { down, middle } }))).toEqual([])
    expect(faults(unet('', net)(x, t, { residuals: { down: down.slice(1), middle } }))).toContain('residuals')
  })
  it('starts as zero: its last convolution does', () => {
    const last = parameters(graph(unet('', net)(x, t))).filter((p) => p.name.startsWith('out.2.'))
    expect(last.map((p) => p.init.kind)).toEqual(['zeros', 'zeros'])
  })
  it('predicts logits over a codebook', () =>
    expect(unet('', { ...net, codebook: 9 })(x, t).shape).toEqual([2, 9, 8, 8]))
  it('pools its way down to a vector', () => {
    const { attention: _, classes: _c, codebook: _b, ...trunk } = net
    for (const pool of ['adaptive', 'attention', 'spatial', 'spatial_v2'])
      expect(encoderUNet('', read(encoderUNetConfig, { ...trunk, pool }))(x, t).shape).toEqual([2, 4])
  })
})

describe('published configurations', () => {
  const params = { in_channels: 4, out_channels: 4, model_channels: 32, num_res_blocks: 1, attention_resolutions: [2] }
  it('say all that is wrong, by their own names', () => {
    const wrong = publishedUNet({ ...params, context_dim: 8 }, '/unet')
    expect(E.isLeft(wrong) && wrong.left.map((e) => e.at)).toEqual(['/unet/num_heads', '/unet/context_dim'])
    const slip = publishedAutoencoder({ ch: 32, chmult: [1] }, 4, '/dd')
    expect(E.isLeft(slip) && slip.left.find((e) => e.at === '/dd/chmult')?.hint).toBe('did you mean "ch_mult"?')
  })
  it('map what the reference derives', () => {
    const config = publishedUNet({
      ...params,
      num_heads: 8,
      num_head_channels: 16,
      resblock_updown: true,
      conv_resample: false,
    })
    expect(config).toMatchObject({ right: { heads: { by: 'channels', channels: 16 }, resample: 'residual' } })
    const counted = publishedUNet({ ...params, num_heads: 4, num_heads_upsample: 2 })
    expect(counted).toMatchObject({ right: { heads: { by: 'count', count: 4, upsample: 2 } } })
    const modern = publishedUNet({ ...params, num_heads: 4, num_heads_upsample: 2, legacy: false })
    expect(modern).toMatchObject({ right: { heads: { by: 'count', count: 4 } } })
    expect(E.isRight(modern) && 'upsample' in modern.right.heads).toBe(false)
  })
})
