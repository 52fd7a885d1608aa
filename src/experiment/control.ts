import { input, type Tensor } from '../declare/index.ts'
import { floats } from '../execute/executor.ts'
import { float, size } from '../graph/types.ts'
import { mostLevels, width } from '../nn/bounds.ts'
import { type ControlNetConfig, controlNet } from '../nn/controlnet.ts'
import type { Mode } from '../nn/layers.ts'
import type { Residuals } from '../nn/skip-connected.ts'
import type { UNetConfig } from '../nn/unet/config.ts'
import { E } from '../prelude.ts'
import { controlNetDocument } from '../published/diffusers/index.ts'
import { about, type Decoded, describedRecord, list, nonEmpty } from '../schema.ts'
import { type Conditioner, conditioningLeaves, type Space, type Told, unconditional } from './conditioner.ts'
import { held } from './held-model.ts'
import { type Problems, problem, setting, unless } from './problems.ts'

/** A ControlNet that is trained beside a U-Net (Zhang et al. 2023): a copy of its way down that sees a picture too. */

export const controlFields = describedRecord(
  {
    hints: about(
      "A folder of pictures under the data's names, each what a picture is to follow, such as its edges; relative to the experiment's file.",
      nonEmpty,
      'edges',
    ),
  },
  {},
  {
    widths: about(
      "Channels of the convolutions that bring a hint to the latents' size, each but the first halving it: as many of 16, 32, 96, 256 as there are to be where left out.",
      list(width, { min: 1, max: mostLevels }),
      [16, 32, 96, 256],
    ),
    of: held,
  },
)
export type Control = Decoded<typeof controlFields>

/** Scope of its parameters, and so what their names begin with. */
const scope = 'control'
export const controlPrefix = `${scope}.`

const published = [16, 32, 96, 256] as const
const hintChannels = 3

/** How many of its convolutions halve a hint. */
const halvings = ({ picture, latent }: Space): number => Math.round(Math.log2((picture[1] ?? 1) / (latent[1] ?? 1)))

const widthsOf = ({ widths }: Control, space: Space): readonly number[] =>
  widths ?? published.slice(0, halvings(space) + 1)

/** The network beside a U-Net. */
export const controlNetOf = (
  c: Control,
  { outChannels: _, codebook: __, ...trunk }: UNetConfig,
  space: Space,
): ControlNetConfig => ({
  ...trunk,
  hintChannels,
  hintWidths: widthsOf(c, space),
})

/** What would keep a trained one from being written. */
const kinds = (c: Control, unet: UNetConfig, space: Space): Problems => {
  const document = controlNetDocument({ controlNet: controlNetOf(c, unet, space) })
  return E.isRight(document)
    ? []
    : document.left.map(({ at, expected, got }) =>
        problem(
          '/diffusion/adapter/of',
          `a U-Net that diffusers has a ControlNet for: ${expected} at /diffusion${at}`,
          got,
        ),
      )
}

export const controlRules = (c: Control, unet: UNetConfig, conditioner: Conditioner, space: Space): Problems => {
  const here = '/diffusion/adapter'
  const count = halvings(space) + 1
  return [
    ...(conditioner.pictures === undefined
      ? []
      : [problem(`${here}/kind`, '"lora", as the model is told pictures already', 'controlnet')]),
    ...kinds(c, unet, space),
    ...unless(
      widthsOf(c, space).length === count,
      `${here}/widths`,
      `${count} numbers, as a latent stands for ${2 ** (count - 1)} pixels a side`,
      c.widths ?? 'nothing',
      setting({ [`${here}/widths`]: Array.from({ length: count }, (_, i) => published[i] ?? 256) }),
    ),
  ]
}

/** A picture to follow, as a condition. */
export const hintCondition = ({ hints: path }: Control, { picture: [, ...side] }: Space): Conditioner => {
  const shape = [hintChannels, ...side]
  const given = (batch: number): Told => ({ hint: input(conditioningLeaves.hint, float(batch, ...shape)) })
  return {
    ...unconditional,
    given,
    trained: given,
    feeds: ({ pictures = new Float32Array() }) => ({
      [conditioningLeaves.hint]: floats([pictures.length / size(shape), ...shape], pictures),
    }),
    pictures: {
      asks: 'hint',
      name: 'hint',
      shape,
      hints: path,
      of: ({ hints = new Float32Array() }) => hints,
      shown: (conditions) => conditions.map((x) => 2 * x - 1),
    },
  }
}

/** What the U-Net is given of it. */
export const controlOf = (
  config: ControlNetConfig,
  x: Tensor,
  t: Tensor,
  { hint, context, y }: Told,
  mode: Mode,
): Residuals | undefined =>
  hint === undefined ? undefined : controlNet(scope, config, mode)(x, t, hint, { context, y })

/** The weight of a U-Net that one of a ControlNet's begins as. */
export const copiedBy = (leaf: string): string | undefined =>
  leaf.startsWith(controlPrefix) ? leaf.slice(controlPrefix.length) : undefined
