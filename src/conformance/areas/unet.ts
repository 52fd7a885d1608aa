import { attentionBlock, encoderUNet, publishedEncoderUNet, publishedUNet, unet } from '../../nn/index.ts'
import { downsample, resBlock, upsample } from '../../nn/unet/blocks.ts'
import { flag, integer, number, record, withDefault } from '../../schema.ts'
import { parameterTolerances } from '../formula.ts'
import { adapter, area, publishedAdapter } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'
import { layerPlan } from './attention.ts'

const positive = integer({ min: 1 })
const off = withDefault(flag, false)
/** Two spatial dimensions are all there are here. */
const dims = withDefault(integer({ min: 2, max: 2 }), 2)
const resampling = record({ channels: positive, use_conv: flag }, { dims }, { out_channels: positive })
const downsampling = record(
  { channels: positive, use_conv: flag },
  { dims, padding: withDefault(integer({ min: 1, max: 1 }), 1) },
  { out_channels: positive },
)
const wide = (out: number | undefined) => (out === undefined ? {} : { out })

export const unetArea = area(
  {
    'openaimodel.py AttentionBlock': adapter(
      record(
        { channels: positive },
        {
          num_heads: withDefault(integer({ min: -1 }), 1),
          num_head_channels: withDefault(integer({ min: -1 }), -1),
          use_checkpoint: off,
          use_new_attention_order: off,
        },
      ),
      ({ channels, num_heads, num_head_channels, use_new_attention_order }, c) =>
        layerPlan(
          c,
          attentionBlock('', {
            heads: num_head_channels === -1 ? num_heads : channels / num_head_channels,
            order: use_new_attention_order ? 'new' : 'legacy',
          }),
        ),
    ),
    'openaimodel.py ResBlock': adapter(
      record(
        { channels: positive, emb_channels: positive },
        {
          dropout: withDefault(number({ min: 0, max: 1 }), 0),
          use_conv: off,
          use_scale_shift_norm: off,
          use_checkpoint: off,
          dims,
          up: off,
          down: off,
        },
        { out_channels: positive },
      ),
      ({ out_channels, use_conv, use_scale_shift_norm, up, down }, c) =>
        layerPlan(
          c,
          resBlock('', {
            embedding: given(c, 'emb'),
            ...wide(out_channels),
            resample: up ? 'up' : down ? 'down' : 'none',
            scaleShiftNorm: use_scale_shift_norm,
            skipKernel: use_conv ? 3 : 1,
          }),
        ),
    ),
    'openaimodel.py Downsample': adapter(downsampling, ({ use_conv, out_channels }, c) =>
      layerPlan(c, downsample('', { conv: use_conv, ...wide(out_channels) })),
    ),
    'openaimodel.py Upsample': adapter(resampling, ({ use_conv, out_channels }, c) =>
      layerPlan(c, upsample('', { conv: use_conv, ...wide(out_channels) })),
    ),
    'openaimodel.py UNetModel': publishedAdapter(publishedUNet, (config, c) =>
      layerPlan(c, (x) =>
        unet('', config)(x, given(c, 'timesteps'), { context: optional(c, 'context'), y: optional(c, 'y') }),
      ),
    ),
    'openaimodel.py EncoderUNetModel': publishedAdapter(publishedEncoderUNet, (config, c) =>
      graphPlan(c, { y: encoderUNet('', config)(given(c, 'x'), given(c, 'timesteps')) }),
    ),
  },
  [
    ...parameterTolerances,
    { tensor: /^grad/, measure: 'scaled', limit: 5e-5 },
    { tensor: /^out/, measure: 'scaled', limit: 2e-5 },
  ],
)
