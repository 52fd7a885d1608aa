import fc from 'fast-check'
import {
  add,
  conv2d,
  convInputGrad,
  convWeightGrad,
  greater,
  groupNorm,
  input,
  maximum,
  mul,
  parameter,
  relu,
  reshape,
  select,
  silu,
  sub,
  sum,
  type Tensor,
  transpose,
  upsampleNearest,
  type Window,
  zerosLike,
} from '../../src/declare/index.ts'
import { float, type Shape, size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { grad, trainable } from '../../src/transform/index.ts'

/** Arrays large enough for what is computed in blocks, in tiles and by gathering: channels that a processor's blocks divide, and some that none do. */
const channels = fc.constantFrom(16, 32, 24)

/** How a weight [O, C, h, w] reaches a convolution: as it is, or from [h, w, C, O], as products make it. */
const laid = (name: string, [o = 1, c = 1, h = 1, w = 1]: Shape, hwio: boolean): Tensor =>
  hwio
    ? pipe(parameter('', name, [h, w, c, o], { kind: 'zeros' }), transpose(3, 2, 0, 1))
    : parameter('', name, [o, c, h, w], { kind: 'zeros' })

export interface Layer {
  readonly n: number
  readonly c: number
  readonly o: number
  readonly hwio: boolean
  readonly kernel: readonly [number, number]
  readonly stride: readonly [number, number]
  readonly padding: readonly [number, number, number, number]
  readonly result: readonly [number, number]
}
const often = <A>(usual: A, ...others: readonly A[]): fc.Arbitrary<A> =>
  fc.oneof({ arbitrary: fc.constant(usual), weight: 3 }, { arbitrary: fc.constantFrom(...others), weight: 1 })
const side = fc.oneof(
  { arbitrary: fc.constantFrom(2, 4, 6), weight: 3 },
  { arbitrary: fc.constantFrom(1, 3, 5), weight: 1 },
)
const edge = fc.integer({ min: 0, max: 2 })
/** The extents of x: of those that give the result, the least. */
const seenBy = ({ kernel, stride, padding, result }: Layer): readonly [number, number] => {
  const extent = (i: 0 | 1): number => (result[i] - 1) * stride[i] + kernel[i] - padding[i] - padding[i === 0 ? 2 : 3]
  return [extent(0), extent(1)]
}
export const arbitraryLayer: fc.Arbitrary<Layer> = fc
  .record({
    n: fc.integer({ min: 1, max: 2 }),
    c: channels,
    o: channels,
    hwio: fc.boolean(),
    kernel: often<Layer['kernel']>([3, 3], [1, 1], [3, 2], [4, 4]),
    stride: often<Layer['stride']>([1, 1], [2, 2], [2, 1]),
    padding: fc.oneof(fc.constant<Layer['padding']>([1, 1, 1, 1]), fc.tuple(edge, edge, edge, edge)),
    result: fc.tuple(side, side),
  })
  .filter((layer) => seenBy(layer).every((d) => d >= 1))

/** A convolution with its bias, both gradients, and the weight as a step would leave it. */
export const layerOutputs = (layer: Layer): Readonly<Record<string, Tensor>> => {
  const { n, c, o, hwio, kernel, stride, padding, result } = layer
  const window: Window = { stride, padding }
  const x = input('x', float(n, c, ...seenBy(layer)))
  const weight = laid('w', [o, c, ...kernel], hwio)
  const dy = input('dy', float(n, o, ...result))
  const bias = pipe(parameter('', 'bias', [o], { kind: 'zeros' }), reshape(o, 1, 1))
  return {
    y: pipe(x, conv2d(weight, window), add(bias), relu),
    dx: pipe(dy, convInputGrad(weight, seenBy(layer), window)),
    dw: pipe(dy, convWeightGrad(x, kernel, window)),
  }
}

interface Growing {
  readonly all: readonly Tensor[]
  readonly weights: number
}
type Link = (g: Growing, pick: number) => Growing
const last = ({ all }: Growing): Tensor => all.at(-1) ?? input('x', float(1))
const onto = (g: Growing, x: Tensor): Growing => ({ all: [...g.all, x], weights: g.weights })
const same: Window = { stride: [1, 1], padding: [1, 1, 1, 1] }
const width = 16
const convolved =
  (out: number, hwio: boolean): Link =>
  (g, pick) => {
    const x = last(g)
    const name = `w${g.weights}`
    const y = pipe(
      x,
      conv2d(laid(name, [out, x.shape[1] ?? 0, 3, 3], hwio), same),
      pick % 2 === 0
        ? add(pipe(parameter('', `${name}.bias`, [out], { kind: 'zeros' }), reshape(out, 1, 1)))
        : (z) => z,
    )
    return { all: [...g.all, y], weights: g.weights + 1 }
  }
const alike = (g: Growing, pick: number): Tensor => {
  const fitting = g.all.filter((x) => x.shape.join() === last(g).shape.join())
  return fitting[pick % fitting.length] ?? last(g)
}
/** What stands between convolutions, on x[N, C, H, W]. */
const links: readonly Link[] = [
  convolved(width, false),
  convolved(width, true),
  convolved(2 * width, false),
  (g) => onto(g, relu(last(g))),
  (g) => onto(g, relu(last(g))),
  (g) => onto(g, pipe(last(g), maximum(0.25))),
  (g) => onto(g, silu(last(g))),
  (g, pick) => onto(g, pipe(last(g), add(alike(g, pick)))),
  (g, pick) => onto(g, pipe(alike(g, pick), greater(0), select(last(g), zerosLike(last(g))))),
  (g) => onto(g, pipe(last(g), mul(0.5))),
  (g) => onto(g, pipe(last(g), transpose(0, 2, 3, 1), mul(2), transpose(0, 3, 1, 2))),
  (g) => onto(g, pipe(last(g), reshape(size(last(g).shape)), sub(0.125), reshape(...last(g).shape))),
  (g) => {
    const [c = 1] = last(g).shape.slice(1)
    const own = (name: string): Tensor => parameter('', `${name}${g.all.length}`, [c], { kind: 'ones' })
    return onto(g, pipe(last(g), groupNorm(own('scale'), own('shift'), { groups: 4, eps: 1e-2 })))
  },
  (g) => ((last(g).shape[2] ?? 9) <= 4 ? onto(g, upsampleNearest(2, 1)(last(g))) : g),
]

/**
 * A chain of 3x3 convolutions of 16 and 32 channels and of what stands between them, the gradients of a sum over it, and its weights
 * after a step.
 */
export const arbitraryNetwork: fc.Arbitrary<Readonly<Record<string, Tensor>>> = fc
  .record({
    n: fc.integer({ min: 1, max: 2 }),
    height: fc.constantFrom(2, 4),
    across: fc.constantFrom(4, 5, 6),
    picks: fc.array(fc.tuple(fc.nat(links.length - 1), fc.nat(9)), { minLength: 2, maxLength: 7, size: 'max' }),
  })
  .map(({ n, height, across, picks }) => {
    const start = convolved(width, false)({ all: [input('x', float(n, width, height, across))], weights: 0 }, 0)
    const { all } = picks.reduce<Growing>((g, [link, pick]) => links[link]?.(g, pick) ?? g, start)
    const y = all.at(-1) ?? input('x', float(1))
    const loss = pipe(y, mul(input('dy', y.type)), sum())
    const weights = trainable(loss)
    const wrt = [...weights, ...all.slice(0, 1)]
    const gradients = grad(loss, wrt)
    return {
      y,
      loss,
      ...Object.fromEntries(gradients.slice(weights.length).map((dx) => ['dx', dx])),
      ...Object.fromEntries(
        weights.flatMap((w, i) =>
          gradients[i] === undefined ? [] : [[`next${i}`, pipe(w, sub(pipe(gradients[i], mul(0.1))))]],
        ),
      ),
    }
  })
