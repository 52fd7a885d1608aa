import { fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import { flag, integer, number, record, withDefault, word } from '../../schema.ts'
import type { PublishedLoss } from '../document.ts'
import { type Reader, reading } from './reader.ts'

/** What first stages were trained with. */

export const positive = integer({ min: 1, max: 2 ** 20 })
export const weight = number({ min: -1e6, max: 1e6 })
const contest = {
  disc_conditional: withDefault(flag, false),
  disc_factor: withDefault(weight, 1),
  disc_in_channels: withDefault(positive, 3),
  disc_loss: withDefault(word(['hinge', 'vanilla']), 'hinge'),
  disc_num_layers: withDefault(integer({ min: 1, max: 32 }), 3),
  disc_weight: withDefault(weight, 1),
  perceptual_weight: withDefault(weight, 1),
  pixelloss_weight: withDefault(weight, 1),
  use_actnorm: withDefault(flag, false),
}
const disc_start = number({ min: 0, max: 1e12 })
const klLoss = record(
  { disc_start },
  { ...contest, kl_weight: withDefault(weight, 1), logvar_init: withDefault(weight, 0) },
)
const vqLoss = record(
  { disc_start },
  {
    ...contest,
    codebook_weight: withDefault(weight, 1),
    disc_ndf: withDefault(positive, 64),
    perceptual_loss: withDefault(word(['lpips']), 'lpips'),
    pixel_loss: withDefault(word(['l1', 'l2']), 'l1'),
  },
  { n_classes: positive },
)

interface Contest {
  readonly disc_conditional: boolean
  readonly disc_in_channels: number
  readonly disc_num_layers: number
  readonly use_actnorm: boolean
  /** The reference's KL loss takes no other than 64. */
  readonly disc_ndf?: number
}
export type LossReader = (colours: number) => Reader<PublishedLoss | undefined>

const lossReader =
  (read: Reader<Contest>): LossReader =>
  (colours) =>
  (params, base) =>
    pipe(
      read(params, base),
      E.flatMap((p) => {
        const conditionChannels = p.disc_in_channels - colours
        return conditionChannels === 0 || (p.disc_conditional && conditionChannels > 0)
          ? E.right({
              discriminator: {
                channels: p.disc_ndf ?? 64,
                layers: p.disc_num_layers,
                norm: p.use_actnorm ? ('act' as const) : ('batch' as const),
              },
              conditionChannels,
            })
          : fail(
              'config',
              `${base}/disc_in_channels`,
              p.disc_conditional ? `at least the ${colours} of the pictures` : `${colours}, as the pictures have`,
              `${p.disc_in_channels}`,
            )
      }),
    )

/** In place of a loss, where a model is not to be trained. */
const nothing: LossReader = () => () => E.right(undefined)
const untrained: Readonly<Record<string, LossReader>> = {
  'torch.nn.Identity': nothing,
  'ldm.modules.losses.contperceptual.DummyLoss': nothing,
  'taming.modules.losses.vqperceptual.DummyLoss': nothing,
}
export const klLosses: Readonly<Record<string, LossReader>> = {
  ...untrained,
  'ldm.modules.losses.LPIPSWithDiscriminator': lossReader(reading(klLoss)),
  'ldm.modules.losses.contperceptual.LPIPSWithDiscriminator': lossReader(reading(klLoss)),
}
export const vqLosses: Readonly<Record<string, LossReader>> = {
  ...untrained,
  'taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator': lossReader(reading(vqLoss)),
  'ldm.modules.losses.vqperceptual.VQLPIPSWithDiscriminator': lossReader(reading(vqLoss)),
}
