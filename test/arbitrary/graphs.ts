import fc from 'fast-check'
import { concat, input, reshape, slice, type Tensor, topological } from '../../src/declare/index.ts'
import { type OpKind, opKinds } from '../../src/graph/ops.ts'
import { type Shape, sameShape, size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { type Case, fedCase, type Step, stepOf } from './cases.ts'
import type { Domain } from './domains.ts'
import type { Operand } from './ops.ts'

/** As many of a tensor's elements as a shape needs, some more than once if need be. */
const resized =
  (to: Shape) =>
  (x: Tensor): Tensor => {
    if (sameShape(x.shape, to)) return x
    const own = size(x.shape)
    const flat = pipe(x, reshape(own))
    const enough = own < size(to) ? concat(0, ...Array.from({ length: Math.ceil(size(to) / own) }, () => flat)) : flat
    return pipe(enough, slice([0], [size(to)]), reshape(...to))
  }

interface Growth {
  readonly made: readonly Tensor[]
  readonly domains: ReadonlyMap<string, Domain>
}

/** An operand: something made before, brought into the domain, or a new leaf. */
const supply = ({ made, domains }: Growth, { type, domain }: Operand, pick: number): readonly [Tensor, Growth] => {
  const found = made.filter((x) => x.type.dtype === type.dtype)
  const chosen = found[pick % (found.length + 1)]
  if (chosen !== undefined && domain.adapt !== undefined)
    return [pipe(chosen, resized(type.shape), domain.adapt), { made, domains }]
  const name = `x${domains.size}`
  const fresh = input(name, type)
  return [fresh, { made: [...made, fresh], domains: new Map([...domains, [name, domain]]) }]
}

const grow = (growth: Growth, { operands, build, picks }: Step & { readonly picks: readonly number[] }): Growth => {
  const { args, after } = operands.reduce<{ readonly args: readonly Tensor[]; readonly after: Growth }>(
    (sofar, o, i) => {
      const [x, after] = supply(sofar.after, o, picks[i] ?? 0)
      return { args: [...sofar.args, x], after }
    },
    { args: [], after: growth },
  )
  return { ...after, made: [...after.made, build(args)] }
}

export interface Composition {
  readonly ops?: readonly OpKind[]
  readonly steps?: number
}
/** Random well-typed graphs that share subexpressions, of some 5 to 40 nodes; whatever nothing else uses is an output. */
export const arbitraryGraph = ({ ops = opKinds, steps = 6 }: Composition = {}): fc.Arbitrary<Case> =>
  fc
    .array(
      fc.oneof(
        ...ops.map((op) =>
          fc
            .tuple(stepOf(op), fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99)))
            .map(([step, picks]) => ({ ...step, picks })),
        ),
      ),
      { minLength: 3, maxLength: steps, size: 'max' },
    )
    .chain((grown) => {
      const { made, domains } = grown.reduce(grow, { made: [], domains: new Map() })
      const used = new Set(topological(made).flatMap((x) => x.args))
      const outputs = made.filter((x) => !used.has(x))
      return fedCase(Object.fromEntries(outputs.map((x, i) => [`y${i}`, x])), domains)
    })
