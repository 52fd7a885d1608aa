import { describe, expect, it } from 'vitest'
import { type Checked, showErrors } from '../../src/error.ts'
import { E } from '../../src/prelude.ts'
import {
  autoencoderDocument,
  controlNetDocument,
  diffusersAutoencoderKl,
  diffusersControlNet,
  diffusersTinyAutoencoder,
  diffusersUNet,
  diffusersVqModel,
  tinyDocument,
  unetDocument,
} from '../../src/published/diffusers/index.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const places = (c: Checked<unknown>) => (E.isLeft(c) ? c.left.map(({ at }) => at) : [])

/** Of Stable Diffusion XL, as its folder has it but for sizes. */
const xl = {
  _class_name: 'UNet2DConditionModel',
  _diffusers_version: '0.19.0.dev0',
  addition_embed_type: 'text_time',
  addition_time_embed_dim: 256,
  attention_head_dim: [5, 10, 20],
  block_out_channels: [320, 640, 1280],
  cross_attention_dim: 2048,
  down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
  up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],
  projection_class_embeddings_input_dim: 2816,
  sample_size: 128,
  transformer_layers_per_block: [1, 2, 10],
  upcast_attention: null,
  use_linear_projection: true,
}
const { _class_name: _, up_block_types: _up, sample_size: _size, ...trunk } = xl

describe("diffusers' configurations", () => {
  it('of a U-Net become ours', () => {
    const { config, ignored } = right(diffusersUNet({ ...xl, upcast_attention: true, decay: 0.9999 }))
    expect(ignored).toEqual(['upcast_attention'])
    expect(config).toMatchObject({ sampleSize: 128, vectorLayers: 'add_embedding', timeIdDim: 256 })
    expect(config.unet).toMatchObject({
      inChannels: 4,
      modelChannels: 320,
      channelMultipliers: [1, 2, 4],
      attentionFactors: [2, 4],
      heads: { by: 'levels', counts: [5, 10, 20] },
      attention: { kind: 'transformer', contextDim: 2048, depth: [1, 2, 10], projection: 'linear' },
      vector: 2816,
    })
  })
  it('are refused where a value makes another network, all at once and by their names', () => {
    const wrong = {
      ...xl,
      act_fn: 'gelu',
      time_cond_proj_dim: 256,
      encoder_hid_dim_type: 'ip_image_proj',
      new_field: 1,
      attention_head_dim: [5, 'ten', 20],
    }
    expect(places(diffusersUNet(wrong, '/unet'))).toEqual(
      expect.arrayContaining([
        '/unet/act_fn',
        '/unet/time_cond_proj_dim',
        '/unet/encoder_hid_dim_type',
        '/unet/new_field',
        '/unet/attention_head_dim/1',
      ]),
    )
    expect(places(diffusersUNet({ ...xl, attention_head_dim: [5, 10], block_out_channels: [320, 480, 1280] }))).toEqual(
      ['/attention_head_dim', '/block_out_channels'],
    )
    expect(places(diffusersUNet({ ...xl, up_block_types: xl.up_block_types.toReversed() }))).toEqual([
      '/up_block_types',
    ])
    expect(places(diffusersUNet({ ...xl, projection_class_embeddings_input_dim: null }))).toEqual([
      '/projection_class_embeddings_input_dim',
    ])
    expect(places(diffusersUNet({ ...xl, _class_name: 'SD3Transformer2DModel' }))).toEqual(['/_class_name'])
  })
  it('of a ControlNet share all this', () => {
    const { config } = right(diffusersControlNet({ ...trunk, conditioning_embedding_out_channels: [8, 16] }))
    expect(config).toMatchObject({ controlNet: { hintWidths: [8, 16], hintChannels: 3, vector: 2816 } })
    expect(places(diffusersControlNet({ ...trunk, controlnet_conditioning_channel_order: 'bgr' }))).toEqual([
      '/controlnet_conditioning_channel_order',
    ])
  })
  it('of autoencoders come with their scale', () => {
    const kl = {
      block_out_channels: [128, 256],
      down_block_types: ['DownEncoderBlock2D', 'AttnDownEncoderBlock2D'],
      up_block_types: ['AttnUpDecoderBlock2D', 'UpDecoderBlock2D'],
      sample_size: 64,
      scaling_factor: 0.3,
      shift_factor: 0.1,
      force_upcast: true,
    }
    expect(right(diffusersAutoencoderKl(kl))).toMatchObject({
      ignored: ['force_upcast'],
      config: {
        scalingFactor: 0.3,
        shiftFactor: 0.1,
        autoencoder: { attentionResolutions: [32], latentChannels: 4, doubleZ: true },
      },
    })
    expect(places(diffusersAutoencoderKl({ ...kl, latents_mean: [0.1], use_quant_conv: false }))).toEqual(
      expect.arrayContaining(['/latents_mean', '/use_quant_conv']),
    )
    const { shift_factor: _s, ...vq } = kl
    expect(right(diffusersVqModel({ ...vq, num_vq_embeddings: 8192 })).config).toMatchObject({
      codebook: 8192,
      autoencoder: { latentChannels: 3, doubleZ: false },
    })
    expect(right(diffusersTinyAutoencoder({})).config).toMatchObject({ tiny: { channels: 64 }, scalingFactor: 1 })
    expect(places(diffusersTinyAutoencoder({ encoder_block_out_channels: [64, 32, 64, 64] }))).toEqual([
      '/encoder_block_out_channels',
    ])
  })

  it('of ours are written as they are read', () => {
    const unets = [
      xl,
      { ...xl, ...{ attention_head_dim: 8, addition_embed_type: null, class_embed_type: 'projection' } },
      { ...xl, only_cross_attention: [false, true, false], use_linear_projection: false, sample_size: null },
    ]
    for (const document of unets) {
      const { config } = right(diffusersUNet(document))
      expect(right(diffusersUNet(right(unetDocument(config))))).toEqual({ config, ignored: [] })
    }
    const control = right(diffusersControlNet({ ...trunk, conditioning_embedding_out_channels: [8, 16] })).config
    expect(right(diffusersControlNet(right(controlNetDocument(control)))).config).toEqual(control)
    const kl = {
      block_out_channels: [128, 256],
      down_block_types: ['DownEncoderBlock2D', 'AttnDownEncoderBlock2D'],
      up_block_types: ['AttnUpDecoderBlock2D', 'UpDecoderBlock2D'],
      sample_size: 64,
    }
    const shifted = right(diffusersAutoencoderKl({ ...kl, shift_factor: 0.1 })).config
    expect(right(diffusersAutoencoderKl(right(autoencoderDocument(shifted)))).config).toEqual(shifted)
    const vq = right(diffusersVqModel({ ...kl, num_vq_embeddings: 64 })).config
    expect(right(diffusersVqModel(right(autoencoderDocument(vq)))).config).toEqual(vq)
    const tiny = right(diffusersTinyAutoencoder({ num_encoder_blocks: [1, 2, 3, 4] })).config
    expect(right(diffusersTinyAutoencoder(tinyDocument(tiny))).config).toEqual(tiny)
  })
  it('have none for networks of ours that diffusers lacks', () => {
    const { config } = right(diffusersUNet(xl))
    const { unet } = config
    expect(
      places(
        unetDocument({
          ...config,
          unet: { ...unet, resample: 'residual', attention: { kind: 'self', order: 'legacy' }, codebook: 9 },
        }),
      ),
    ).toEqual(['/unet/attention/kind', '/unet/resample', '/unet/codebook'])
    const byWidth = { ...config, unet: { ...unet, heads: { by: 'channels', channels: 64 } as const } }
    expect(right(unetDocument(byWidth))).toMatchObject({ attention_head_dim: [5, 10, 20] })
  })
})
