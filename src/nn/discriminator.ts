import { at, channels, leakyRelu, type Scope, shared, type Tensor } from '../declare/index.ts'
import type { Initializer } from '../graph/ops.ts'
import { pipe } from '../prelude.ts'
import { about, type Decoded, describedRecord, withDefault, word } from '../schema.ts'
import { depth, width } from './bounds.ts'
import { conv2d, kaimingUniform, type Mode } from './layers.ts'
import {
  type ActNorm,
  actNorm,
  type Buffers,
  batchNorm,
  type Passed,
  type StatefulLayer,
  stateless,
} from './stateful.ts'

/** The discriminator, as declared in experiments. In brackets the names of the reference's arguments. */
export const discriminatorConfig = describedRecord(
  {},
  {
    channels: about(
      'Channels of the first layer, doubled by each further layer, up to eight times [ndf]; a discriminator that always wins has too many.',
      withDefault(width, 64),
    ),
    layers: about(
      'Layers between the first and the last [n_layers]; every one but the last of these halves the resolution, so more of them judge larger patches.',
      withDefault(depth, 3),
    ),
    norm: about(
      'Normalisation: by the batch, or by activation normalisation, which small batches do not disturb [use_actnorm].',
      withDefault(word(['batch', 'act']), 'batch'),
    ),
  },
)
/** `discriminatorConfig`, decoded. */
export type DiscriminatorConfig = Decoded<typeof discriminatorConfig>

/** `weights_init` of taming/modules/discriminator/model.py. */
const convolution: Initializer = { kind: 'normal', std: 0.02 }
const scale: Initializer = { kind: 'normal', mean: 1, std: 0.02 }

const kernel = 4
interface Stage {
  readonly out: number
  readonly stride: number
  readonly bias?: boolean
}
const convolve = (s: Scope, stage: Stage): StatefulLayer =>
  stateless((x) =>
    pipe(
      x,
      conv2d(s, {
        ...stage,
        kernel,
        padding: 1,
        init: convolution,
        biasInit: kaimingUniform(channels(x) * kernel ** 2),
      }),
    ),
  )
const activate = stateless(leakyRelu(0.2))

/** A pass through a discriminator: logits of x[N, C, H, W], and the buffers behind it. */
export type Discriminator = (x: Tensor, buffers?: Buffers) => Passed

/**
 * Real or fake, patch by patch: x[N, C, H, W] to logits [N, 1, h, w] (Isola et al. 2017, section 3.2.2). While training, batch
 * norm uses the batch's statistics and moves the running ones: two passes of one step chain their buffers.
 *
 *     const judge = discriminator('loss.discriminator', config, { training: true })
 *     const real = judge(pictures)
 *     const fake = judge(reconstructions, real.buffers)
 *
 * Source: `NLayerDiscriminator` of taming/modules/discriminator/model.py.
 */
export const discriminator = (
  s: Scope,
  { channels: width, layers, norm }: DiscriminatorConfig,
  mode: Mode & ActNorm = {},
): Discriminator =>
  shared((x, buffers = {}) => {
    const main = at(s, 'main')
    const normalize = {
      batch: (index: number) => batchNorm(at(main, index), { ...mode, init: scale }),
      act: (index: number) => actNorm(at(main, index), mode),
    }[norm]
    const inner = Array.from({ length: layers }, (_, i) => {
      const index = 2 + 3 * i
      const out = width * Math.min(2 ** (i + 1), 8)
      return [
        convolve(at(main, index), { out, stride: i === layers - 1 ? 1 : 2, bias: norm === 'act' }),
        normalize(index + 1),
        activate,
      ]
    })
    const stages = [
      convolve(at(main, 0), { out: width, stride: 2 }),
      activate,
      ...inner.flat(),
      convolve(at(main, 2 + 3 * layers), { out: 1, stride: 1 }),
    ]
    return stages.reduce((passed: Passed, stage) => stage(passed), { y: x, buffers })
  })
