import {
  add,
  concat,
  constant,
  conv2d,
  isTensor,
  matmul,
  refreeze,
  reshape,
  rewrite,
  type Tensor,
  unsqueeze,
} from '../declare/index.ts'
import { type Graph, isNode, type Node } from '../graph/graph.ts'
import { float, sameShape, size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/**
 * A convolution of a map that was enlarged by repetition, as convolutions of the map as it was: of an axis that is enlarged f times, each
 * f-th result sees the same taps on the same pixel, and those are summed beforehand. Twice enlarged, a kernel of 3 becomes two of 2,
 *
 *     y[2 i]     = w0 x[i - 1] + (w1 + w2) x[i]
 *     y[2 i + 1] = (w0 + w1) x[i] + w2 x[i + 1]
 *
 * and so of two axes 16 products make what 36 would. Also said as a transposed convolution or as sub-pixel convolution (Shi et al. 2016,
 * "Is the deconvolution layer the same as a convolutional layer?").
 */
export interface Enlarged {
  /** Channels of x. */
  readonly channels: number
  /** Products by phases over products as declared. */
  readonly products: number
  /** Numbers of the weight as declared; those of all phases together are more. */
  readonly weights: number
}

/** One of f results in a row: its padding, and of each of its taps those that are summed in it, as the first and their number. */
interface Phase {
  readonly low: number
  readonly high: number
  readonly taps: readonly (readonly [first: number, count: number])[]
}
interface Axis {
  readonly factor: number
  readonly kernel: number
  readonly low: number
  /** Sides of x, as it was, and of the result. */
  readonly from: number
  readonly to: number
}
const phasesAlong = ({ factor, kernel, low, from, to }: Axis): readonly Phase[] =>
  Array.from({ length: factor }, (_, phase) => {
    const seen = Array.from({ length: kernel }, (_tap, t) => Math.floor((phase + t - low) / factor))
    const [nearest = 0, farthest = 0] = [seen[0], seen.at(-1)]
    return {
      low: -nearest,
      high: to / factor - from + farthest,
      taps: Array.from({ length: farthest - nearest + 1 }, (_tap, i) => {
        const first = seen.indexOf(nearest + i)
        return [first, seen.lastIndexOf(nearest + i) - first + 1] as const
      }),
    }
  })
/** Products a pixel of x. */
const productsOf = (phases: readonly Phase[]): number => phases.reduce((sum, { taps }) => sum + taps.length, 0)

/** w[O, C, h, w] with the taps of a phase summed, by one product with zeros and ones: nothing else is made on the way. */
const summed = (w: Tensor, down: Phase, across: Phase): Tensor => {
  const [o = 0, c = 0, h = 0, width = 0] = w.shape
  const isIn = (tap: number, [first, count]: Phase['taps'][number]): boolean => tap >= first && tap < first + count
  const columns = down.taps.flatMap((rows) => across.taps.map((cols) => ({ rows, cols })))
  const ones = Array.from({ length: h * width }, (_, tap) =>
    columns.map(({ rows, cols }) => (isIn(Math.floor(tap / width), rows) && isIn(tap % width, cols) ? 1 : 0)),
  )
  return pipe(
    w,
    reshape(o * c, h * width),
    matmul(constant(ones.flat(), float(h * width, columns.length))),
    reshape(o, c, down.taps.length, across.taps.length),
  )
}

/** The results of phases as rows and columns of one map: phases[i][j][n, c, h, w] -> [n, c, f0 h, f1 w] */
const interleaved = (phases: readonly (readonly Tensor[])[]): Tensor => {
  const rows = phases.map((columns) => concat(4, ...columns.map(unsqueeze(4))))
  const [n = 0, c = 0, h = 0, w = 0, across = 0] = rows[0]?.shape ?? []
  const lines = rows.map(reshape(n, c, h, 1, w * across))
  return pipe(concat(3, ...lines), reshape(n, c, h * rows.length, w * across))
}

/** Whether a node's numbers are known, as they depend on constants and leaves that are. */
const knownIn = (g: Graph, isKnown: (leaf: string) => boolean): readonly boolean[] => {
  const known: boolean[] = []
  for (const n of g.nodes)
    known.push(
      isNode('constant')(n) ||
        ((isNode('parameter')(n) || isNode('input')(n)) && isKnown(n.attributes.name)) ||
        (n.operands.length > 0 && n.operands.every((o) => known[o] === true)),
    )
  return known
}

/** x[N, C, H, W] enlarged, and the phases of both axes; undefined of other convolutions, and where phases have unlike numbers of results. */
const enlargedBy = (n: Node, [large, weight]: readonly Tensor[]) => {
  if (!isNode('conv2d')(n) || n.type.dtype !== 'float32' || large === undefined || weight === undefined)
    return undefined
  const [x] = large.args
  if (!isTensor('upsampleNearest')(large) || x === undefined || n.attributes.stride.some((s) => s !== 1))
    return undefined
  const [fh = 1, fw = 1] = large.attributes.factor
  const [top = 0, left = 0] = n.attributes.padding
  const [, c = 0, h = 0, w = 0] = x.shape
  const [, , oh = 0, ow = 0] = n.type.shape
  const [, , kh = 0, kw = 0] = weight.shape
  if (oh % fh !== 0 || ow % fw !== 0) return undefined
  const down = phasesAlong({ factor: fh, kernel: kh, low: top, from: h, to: oh })
  const across = phasesAlong({ factor: fw, kernel: kw, low: left, from: w, to: ow })
  const products = (productsOf(down) * productsOf(across)) / (fh * kh * fw * kw)
  const about: Enlarged = { channels: c, products, weights: size(weight.shape) }
  return { x, weight, down, across, about }
}

/**
 * Convolutions of enlarged maps by phases, where the weight is known beforehand, so that its taps are summed once, and it is worth it.
 * Numbers change as sums are rounded in another order.
 */
export const convolveByPhases =
  (isKnown: (leaf: string) => boolean, isWorth: (of: Enlarged) => boolean) =>
  (g: Graph): Graph => {
    const known = knownIn(g, isKnown)
    const phasesOf = new Map<Tensor, readonly (readonly Tensor[])[]>()
    const joined = (phases: readonly (readonly Tensor[])[]): Tensor => {
      const y = interleaved(phases)
      phasesOf.set(y, phases)
      return y
    }
    /** A bias of one number a channel is added to each phase, where a convolution takes it along. */
    const shifted = (n: Node, [a, b]: readonly Tensor[]): Tensor | undefined => {
      if (n.op !== 'add' || a === undefined || b === undefined) return undefined
      const [y, bias] = phasesOf.has(a) ? [a, b] : [b, a]
      const phases = phasesOf.get(y)
      const vector = [y.shape[1] ?? 0, 1, 1]
      const isPerChannel = sameShape(bias.shape, vector) || sameShape(bias.shape, [1, ...vector])
      return phases === undefined || !isPerChannel ? undefined : joined(phases.map((row) => row.map(add(bias))))
    }
    const byPhases = (n: Node, args: readonly Tensor[]): Tensor | undefined => {
      const found = known[n.operands[1] ?? -1] === true ? enlargedBy(n, args) : undefined
      if (found === undefined || !isWorth(found.about)) return undefined
      const { x, weight, down, across } = found
      return joined(
        down.map((row) =>
          across.map((column) =>
            pipe(
              x,
              conv2d(summed(weight, row, column), {
                stride: [1, 1],
                padding: [row.low, column.low, row.high, column.high],
              }),
            ),
          ),
        ),
      )
    }
    return refreeze(rewrite(g, (n, args, again) => shifted(n, args) ?? byPhases(n, args) ?? again()))
  }
