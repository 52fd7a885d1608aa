import { between, isIdentity, type Order, orders } from '../../layout.ts'
import type { Layout } from '../calls.ts'
import { orderOf, sameLayout } from '../layouts.ts'
import type { Target } from '../target.ts'
import { call, floats, int, reshape, transpose, type Value } from '../value.ts'
import { blocked, blocksOf, blocksOfHwio, plainOfHwio, rotatedBlocksOf, rotatedBlocksOfHwio } from './blocks.ts'
import { type Emit, valueAt } from './emit.ts'
import { filtersOfHwio, knownFilters } from './minimal.ts'

/** An array of `shape`, of a weight w[O, C, h, w], brought from one layout to another. */
interface Conversion {
  readonly value: Value
  readonly from: Layout
  readonly shape: readonly number[]
  readonly target: Target
}
type Convert = (of: Conversion) => Value
const extentOf = ([o = 1, c = 1, kh = 1, kw = 1]: readonly number[]) => ({ o, c, kh, kw })
const blockOf = ({ block }: Target): number => {
  if (block === null) throw new Error('this processor has no blocked convolutions')
  return block
}

/** A product with a permutation is faster than steps of -1. */
const rotated: Convert = ({ value, shape }) => {
  const { o, c, kh, kw } = extentOf(shape)
  const taps = kh * kw
  const reversal = floats(
    [taps, taps],
    Array.from({ length: taps * taps }, (_, i) => (Math.floor(i / taps) + (i % taps) === taps - 1 ? 1 : 0)),
  )
  const reversed =
    taps === 1 ? value : reshape(call('MatMul', [reshape(value, [o * c, taps]), reversal]), [o, c, kh, kw])
  return transpose(reversed, [1, 0, 2, 3])
}
/** To layouts of our own: from the order of a weight's gradient, or as declared. */
const toOwn: { readonly [L in Exclude<Layout, Order | 'plain'>]: Convert } = {
  nchwc: ({ value }) => blocked('ReorderInput', [value]),
  blocks: ({ value, from, shape, target }) =>
    (from === 'plain' ? blocksOf : blocksOfHwio)(value, extentOf(shape), blockOf(target)),
  rotatedBlocks: ({ value, from, shape, target }) =>
    (from === 'plain' ? rotatedBlocksOf : rotatedBlocksOfHwio)(value, extentOf(shape), blockOf(target)),
  rotated,
  tiles: ({ value, from, shape }) =>
    from === 'plain' && value.kind === 'constant'
      ? knownFilters(value, extentOf(shape))
      : filtersOfHwio(value, extentOf(shape)),
}

/** To the order of axes that was declared, or another. */
const toOrder = ({ value, from, shape, target }: Conversion, to: Order): Value => {
  if (from === 'nchwc') return blocked('ReorderOutput', [value], { channels: int(shape[1] ?? 1) })
  const order = orderOf(from, shape.length)
  if (order === undefined) throw new Error(`nothing leads back from ${String(from)}`)
  return sameLayout(from, orders.hwio) &&
    isIdentity(to) &&
    target.block !== null &&
    (shape[0] ?? 1) % target.block === 0
    ? plainOfHwio(value, extentOf(shape), target.block)
    : transpose(value, between(order, to))
}

export const convert: Emit<'convert'> = (site) => {
  const { attributes, layout, type } = site.call
  const of = { value: valueAt(site, 0), from: attributes.from, shape: type.shape, target: site.target }
  const order = orderOf(layout, type.shape.length)
  return order === undefined && typeof layout === 'string' && layout !== 'plain'
    ? toOwn[layout](of)
    : toOrder(of, order ?? [])
}
