import { sameShape } from '../../graph/types.ts'
import { pipe, RR } from '../../prelude.ts'
import { isIdentity, type Order, orders, range, renamed } from '../layout.ts'
import {
  type Algorithms,
  algorithmOf,
  type Call,
  type CallKind,
  type Calls,
  callOf,
  isCall,
  type Layout,
  operand,
  rewriteCalls,
  shapeOf,
} from './calls.ts'

/** How an algorithm reads its operands, those beyond the list as the graph says, and how its result lies. */
interface Lying {
  readonly reads: readonly Layout[]
  readonly makes: Layout
}
const { nhwc, hwio, hwoi } = orders
const asDeclared: Lying = { reads: [], makes: 'plain' }

const lying: { readonly [K in keyof Algorithms]: { readonly [A in Algorithms[K]]: Lying } } = {
  conv2d: {
    direct: asDeclared,
    widened: asDeclared,
    blocked: { reads: ['nchwc', 'blocks'], makes: 'nchwc' },
    minimal: { reads: [nhwc, 'tiles'], makes: nhwc },
  },
  convInputGrad: {
    rotated: { reads: ['plain', 'rotated'], makes: 'plain' },
    transposed: asDeclared,
    blocked: { reads: ['nchwc', 'rotatedBlocks'], makes: 'nchwc' },
    minimal: { reads: [nhwc, 'tiles'], makes: nhwc },
  },
  convWeightGrad: {
    positions: asDeclared,
    'columns of x': { reads: [], makes: hwio },
    'columns of dy': { reads: [], makes: hwoi },
    minimal: { reads: [nhwc, nhwc], makes: hwio },
    'gathered x': { reads: [nhwc, nhwc], makes: hwio },
    'gathered dy': { reads: [nhwc, nhwc], makes: hwoi },
    rows: { reads: [], makes: hwio },
    'shifted x': { reads: [nhwc, nhwc], makes: hwio },
    'shifted dy': { reads: [nhwc, nhwc], makes: hwio },
  },
  attention: { whole: asDeclared, streamed: asDeclared },
}
/** The algorithms that an op has. */
export const algorithmsOf = (op: keyof Algorithms): readonly string[] => Object.keys(lying[op])
const hasWays = (c: Call): c is Call<keyof Algorithms> => Object.hasOwn(lying, c.op)
const chosenOf = <K extends keyof Algorithms>(c: Call<K>): Lying => lying[c.op][algorithmOf(c)]
export const lyingOf = (c: Call): Lying => (hasWays(c) ? chosenOf(c) : asDeclared)

/** The order of axes that a layout is; undefined for those that are none. */
export const orderOf = (layout: Layout, rank: number): Order | undefined =>
  layout === 'plain' ? range(rank) : typeof layout === 'string' ? undefined : layout
const ofOrder = (order: Order): Layout => (isIdentity(order) ? 'plain' : order)
const key = (layout: Layout): string => (typeof layout === 'string' ? layout : layout.join())
export const sameLayout = (a: Layout, b: Layout): boolean => key(a) === key(b)
const words = new Map<string, string>(Object.entries(orders).map(([word, order]) => [key(order), word]))
/** A layout in one word. */
export const layoutName = (layout: Layout): string => words.get(key(layout)) ?? key(layout)

/** What an array must lie as before it is brought to another layout; undefined where nothing is between. */
const stopover = (c: Call, to: Layout): Layout | undefined => {
  const from = c.layout
  if (to === 'tiles') return sameLayout(from, hwio) || c.op === 'baked' || c.op === 'constant' ? undefined : hwio
  if (to === 'blocks' || to === 'rotatedBlocks') return from === 'plain' || sameLayout(from, hwio) ? undefined : 'plain'
  const direct = from === 'plain' || to === 'plain' || (typeof from !== 'string' && typeof to !== 'string')
  return direct ? undefined : 'plain'
}
const converted = (c: Call, to: Layout): Call => ({
  ...callOf('convert', { from: c.layout }, [c], { ...c, flops: 0 }),
  layout: to,
})

/** Ops that do in any layout what they do out of it, on arrays of one shape and numbers. */
const pointwise: ReadonlySet<CallKind> = new Set<CallKind>(['relu', 'less', 'select'])
const isNumber = (c: Call): boolean => isCall('constant')(c) && c.attributes.data.length === 1

/** Finds a call's result in other layouts: one conversion for all that ask. */
const conversions = () => {
  const known = new Map<Call, Map<string, Call | null>>()
  const once = (c: Call, what: string, make: () => Call | undefined): Call | undefined => {
    const own = known.get(c) ?? new Map<string, Call | null>()
    known.set(c, own)
    const found = own.get(what)
    if (found !== undefined) return found ?? undefined
    const made = make()
    own.set(what, made ?? null)
    return made
  }
  /** As it lies in a layout without being converted: made there, or of what was made there by nothing but pointwise ops. */
  const lyingIn = (c: Call, to: Layout): Call | undefined =>
    sameLayout(c.layout, to)
      ? c
      : isCall('convert')(c) && sameLayout(c.attributes.from, to)
        ? operand(c, 0)
        : pointwise.has(c.op)
          ? once(c, `in ${key(to)}`, () => carried(c, to))
          : undefined
  const carried = (c: Call, to: Layout): Call | undefined => {
    const arrays = c.operands.filter((o) => !isNumber(o))
    const alike = arrays.length > 0 && arrays.every((o) => sameShape(shapeOf(o), shapeOf(c)))
    const operands = c.operands.flatMap((o) => (isNumber(o) ? o : (lyingIn(o, to) ?? [])))
    return alike && operands.length === c.operands.length ? { ...c, operands, layout: to } : undefined
  }
  const inLayout = (c: Call, to: Layout): Call =>
    lyingIn(c, to) ??
    once(c, `to ${key(to)}`, () => {
      const between = stopover(c, to)
      return converted(between === undefined ? c : inLayout(c, between), to)
    }) ??
    c
  return inLayout
}

/** A transposition moves nothing: the same numbers lie in another order of its own axes. */
const viewed = (c: Call<'transpose'>, of: Call): Call => {
  const order = orderOf(of.layout, shapeOf(of).length) ?? []
  return { ...c, operands: [of], layout: ofOrder(renamed(order, c.attributes.permutation)) }
}

/** Every call reads its operands as its algorithm wants them, and every output lies as it was declared; conversions stand where two differ. */
export const layouts = (calls: Calls): Calls => {
  const inLayout = conversions()
  const laid = rewriteCalls(() => (c) => {
    if (isCall('convert')(c)) return operand(c, 0)
    if (isCall('transpose')(c)) {
      const of = operand(c, 0)
      return viewed(c, typeof of.layout === 'string' ? inLayout(of, 'plain') : of)
    }
    const { reads, makes } = lyingOf(c)
    return { ...c, operands: c.operands.map((o, i) => inLayout(o, reads[i] ?? 'plain')), layout: makes }
  })
  return pipe(
    laid(calls),
    RR.map((c) => inLayout(c, 'plain')),
  )
}
