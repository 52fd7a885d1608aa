import type { Shape } from '../../graph/types.ts'
import type { Draft } from './draft.ts'
import { apply, type Expression, float, kindOf, load, spreadTo } from './expression.ts'
import { shortExponential } from './functions.ts'
import type { Reduction } from './loop.ts'
import type { Lowerings, Operand, Operands } from './lowering.ts'
import { keyOf, spread, type View } from './view.ts'

const reduction =
  (float: Reduction, int: Reduction) =>
  (
    { axes }: { readonly axes: readonly number[] },
    [{ value, type }]: Operands,
    { shape }: { readonly shape: Shape },
    draft: Draft,
  ): Expression => {
    const by = kindOf(type.dtype) === 'float' ? float : int
    const kept = type.shape.map((d, i) => (axes.includes(i) ? 1 : d))
    const nothing = axes.every((axis) => type.shape[axis] === 1)
    return draft.reshape(nothing ? value : load(draft.reduce(by, value, type.shape, axes)), kept, shape)
  }

interface Statistics {
  /** Mean and 1 / sqrt(var + eps) of each channel's group, [N, C, 1, ...]. */
  readonly mean: View
  readonly rstd: View
  readonly byGroup: View
}

/** Mean first, then the squares of what differs from it: the difference of two large sums would cost digits. */
const statistics = (
  draft: Draft,
  x: View,
  { groups, eps }: { readonly groups: number; readonly eps: number },
): Statistics => {
  const { shape } = x
  const [n = 0, c = 0, ...positions] = shape
  const inner = positions.map((_, i) => i + 2)
  const grouped = [n, groups, c / groups]
  const count = (c / groups) * positions.reduce((a, b) => a * b, 1)
  const perChannel = [n, c, ...positions.map(() => 1)]
  /** The mean over each group of a value, as arithmetic over [N, groups, 1]. */
  const meanOf = (value: Expression): Expression => {
    const sums = load(draft.reduce('sum', value, shape, inner))
    const all = draft.reduce('sum', draft.reshape(sums, perChannel, grouped), grouped, [2])
    return apply('div', load(all), float(count))
  }
  /** For each channel, what is of its group. */
  const ofChannels = (value: View): View => {
    const repeated = draft.store(load(spread(value, grouped)), grouped)
    return draft.stored(draft.reshape(load(repeated), grouped, perChannel), perChannel)
  }
  const key = (of: string): string => `${of} ${groups} ${keyOf(x)}`
  const kept = (name: string, make: () => View): View => {
    const found = draft.remembered.get(key(name)) ?? make()
    draft.remembered.set(key(name), found)
    return found
  }
  const one = [n, groups, 1]
  const mean = kept('mean', () => ofChannels(draft.store(meanOf(load(x)), one)))
  const centred = apply('sub', load(x), load(spread(mean, shape)))
  const byGroup = kept(`rstd ${eps}`, () =>
    draft.store(
      apply('div', float(1), apply('sqrt', apply('add', meanOf(apply('mul', centred, centred)), float(eps)))),
      one,
    ),
  )
  return { mean, byGroup, rstd: kept(`channel rstd ${eps}`, () => ofChannels(byGroup)) }
}

const held = (draft: Draft, { value, type }: Operand): View => draft.stored(value, type.shape)
/** A number of each channel, under [N, C, ...]. */
const perChannel = (draft: Draft, { value, type }: Operand, rank: number): Expression =>
  draft.reshape(value, type.shape, [...type.shape, ...Array.from({ length: rank - 2 }, () => 1)])

export const reductions: Lowerings<
  'sum' | 'reduceMax' | 'softmax' | 'maxPool' | 'groupNorm' | 'standardize' | 'groupRstd'
> = {
  sum: reduction('sum', 'sumInt'),
  reduceMax: reduction('max', 'maxInt'),
  softmax: ({ axis }, [x], { shape }, draft) => {
    const given = load(held(draft, x))
    const most = load(spread(draft.reduce('max', given, shape, [axis]), shape))
    const powers = load(draft.store(shortExponential(apply('sub', given, most)), shape))
    return apply('div', powers, load(spread(draft.reduce('sum', powers, shape, [axis]), shape)))
  },
  maxPool: ({ factor }, [x], { shape }, draft) => {
    const [n = 0, c = 0, h = 0, w = 0] = shape
    const windows = [n, c, h, factor[0] ?? 1, w, factor[1] ?? 1]
    const apart = draft.reshape(load(held(draft, x)), x.type.shape, windows)
    return draft.reshape(load(draft.reduce('max', apart, windows, [3, 5])), [n, c, h, 1, w, 1], shape)
  },
  groupNorm: (attributes, [x, weight, bias], { shape }, draft) => {
    const view = held(draft, x)
    const { mean, rstd } = statistics(draft, view, attributes)
    const scales = apply('mul', load(rstd), spreadTo(perChannel(draft, weight, shape.length), rstd.shape))
    const scale = load(spread(draft.store(scales, rstd.shape), shape))
    const shift = spreadTo(perChannel(draft, bias, shape.length), shape)
    return apply('add', apply('mul', apply('sub', load(view), load(spread(mean, shape))), scale), shift)
  },
  standardize: (attributes, [x], { shape }, draft) => {
    const view = held(draft, x)
    const { mean, rstd } = statistics(draft, view, attributes)
    return apply('mul', apply('sub', load(view), load(spread(mean, shape))), load(spread(rstd, shape)))
  },
  groupRstd: (attributes, [x], { shape }, draft) =>
    draft.reshape(load(statistics(draft, held(draft, x), attributes).byGroup), [...shape, 1], shape),
}
