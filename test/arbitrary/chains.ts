import fc from 'fast-check'
import {
  add,
  broadcast,
  div,
  input,
  mul,
  neg,
  reshape,
  scalar,
  sub,
  sum,
  type Tensor,
  transpose,
} from '../../src/declare/index.ts'
import { float, size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { type Case, fedCase } from './cases.ts'
import { permutationOf, shapeOf } from './shapes.ts'

/** Each link is made for the shape it meets, so that every identity of movement and arithmetic comes about. */
const links: readonly ((x: Tensor) => fc.Arbitrary<Tensor>)[] = [
  (x) => permutationOf(x.shape).map((p) => transpose(...p)(x)),
  (x) =>
    fc
      .oneof(
        permutationOf(x.shape).map((p) => p.map((i) => x.shape[i] ?? 1)),
        fc.constantFrom([size(x.shape)], x.shape),
      )
      .map((s) => reshape(...s)(x)),
  (x) => fc.constantFrom(x.shape, [2, ...x.shape], [1, ...x.shape]).map((s) => broadcast(...s)(x)),
  (x) => fc.subarray(x.shape.map((_, i) => i)).map((axes) => sum({ axes, keepDims: axes.length % 2 === 0 })(x)),
  (x) => fc.constant(neg(x)),
  (x) =>
    fc
      .tuple(fc.constantFrom(add, sub, mul, div), fc.constantFrom(-1, 1, 2, 0), fc.constantFrom([], [1], [1, 1, 1, 1]))
      .map(([op, k, shape]) => {
        const number = pipe(scalar(op === div && k === 0 ? 1 : k), reshape(...shape))
        return pipe(x, op(number))
      }),
  (x) =>
    fc.tuple(fc.constantFrom(add, sub, mul), fc.constantFrom(-1, 0, 1, 2)).map(([op, k]) => pipe(scalar(k), op(x))),
]
/** One tensor, moved (transposed most often) and scaled up to six times; every stage is an output now and then. */
export const arbitraryChain: fc.Arbitrary<Case> = fc
  .tuple(
    shapeOf(0),
    fc.array(fc.oneof({ arbitrary: fc.constant(0), weight: 2 }, { arbitrary: fc.nat(links.length - 1), weight: 3 }), {
      minLength: 1,
      maxLength: 6,
      size: 'max',
    }),
    fc.boolean(),
  )
  .chain(([shape, picks, all]) => {
    const start = fc.constant<readonly Tensor[]>([input('x', float(...shape))])
    const stages = picks.reduce(
      (sofar, pick) =>
        sofar.chain((made) => {
          const [last, link] = [made.at(-1), links[pick]]
          return last === undefined || link === undefined ? fc.constant(made) : link(last).map((x) => [...made, x])
        }),
      start,
    )
    return stages.chain((made) =>
      fedCase(Object.fromEntries((all ? made : made.slice(-1)).map((x, i) => [`y${i}`, x])), new Map()),
    )
  })
