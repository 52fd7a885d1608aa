import { add, div, input, maximum, mean, mul, split, sqrt, square, sub, type Tensor } from '../declare/index.ts'
import type { Values } from '../execute/executor.ts'
import { floats } from '../execute/executor.ts'
import { float } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/** How what a network says under several conditions becomes one prediction. */

export type Guidance =
  | { readonly kind: 'none' }
  /** Away from another condition (Ho and Salimans 2022), brought back to the conditional spread by a share (Lin et al. 2024). */
  | { readonly kind: 'classifier-free'; readonly scale: number; readonly rescale: number }
  /** Of a text and of a picture, each by its own scale (Brooks et al. 2023, equation 3). */
  | { readonly kind: 'picture'; readonly text: number; readonly picture: number }
type Kind = Guidance['kind']

/** What a part of the batch is told: all, the picture alone, or what stands for nothing. */
export type Branch = 'given' | 'picture' | 'nothing'
/** The parts of the network's batch, in their order: as the references have them. */
export const branches: { readonly [K in Kind]: readonly Branch[] } = {
  none: ['given'],
  'classifier-free': ['nothing', 'given'],
  picture: ['given', 'picture', 'nothing'],
}

const leaves = {
  scale: 'guidance/scale',
  rescale: 'guidance/rescale',
  text: 'guidance/text',
  picture: 'guidance/picture',
}
const leaf = (name: string): Tensor => input(name, float())
const scalar = (x: number): Values[string] => floats([], Float64Array.of(x))

/** The scales, as the combination's leaves are fed. */
export const guidanceFeeds = (g: Guidance): Values =>
  g.kind === 'none'
    ? {}
    : g.kind === 'picture'
      ? { [leaves.text]: scalar(g.text), [leaves.picture]: scalar(g.picture) }
      : { [leaves.scale]: scalar(g.scale), ...(g.rescale === 0 ? {} : { [leaves.rescale]: scalar(g.rescale) }) }

const deviation = (x: Tensor): Tensor => {
  const over = { axes: x.shape.map((_, i) => i).slice(1), keepDims: true }
  return pipe(x, sub(pipe(x, mean(over))), square, mean(over), sqrt)
}
/** What says the same everywhere is not divided by 0. */
const leastDeviation = 1e-12

const rescaled = (guided: Tensor, conditional: Tensor): Tensor => {
  const share = leaf(leaves.rescale)
  const back = pipe(guided, mul(pipe(deviation(conditional), div(pipe(deviation(guided), maximum(leastDeviation))))))
  return pipe(back, sub(guided), mul(share), add(guided))
}

type Combine<K extends Kind> = (said: Tensor, g: Extract<Guidance, { readonly kind: K }>) => Tensor
const combines: { readonly [K in Kind]: Combine<K> } = {
  none: (said) => said,
  'classifier-free': (said, { rescale }) => {
    const [nothing = said, given = said] = pipe(said, split(2, 0))
    const guided = pipe(given, sub(nothing), mul(leaf(leaves.scale)), add(nothing))
    return rescale === 0 ? guided : rescaled(guided, given)
  },
  picture: (said) => {
    const [given = said, picture = said, nothing = said] = pipe(said, split(3, 0))
    return pipe(
      nothing,
      add(pipe(given, sub(picture), mul(leaf(leaves.text)))),
      add(pipe(picture, sub(nothing), mul(leaf(leaves.picture)))),
    )
  },
}
const combine = <K extends Kind>(kind: K, said: Tensor, g: Extract<Guidance, { readonly kind: K }>): Tensor =>
  combines[kind](said, g)
/** One prediction of what was said under all branches, [branches N, ...] -> [N, ...]. */
export const guided = (said: Tensor, g: Guidance): Tensor => combine(g.kind, said, g)
