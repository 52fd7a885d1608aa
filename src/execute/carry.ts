import { type Checked, collect, type Effect, fail } from '../error.ts'
import { sameType, showType, type TensorType } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Carry, Stepper, Values } from './executor.ts'
import { own, type Types } from './feeds.ts'

type Named<A> = Readonly<Record<string, A>>

const filtered = <A>(xs: Named<A>, keep: (name: string) => boolean): Named<A> =>
  Object.fromEntries(Object.entries(xs).filter(([name]) => keep(name)))
export const omit = <A>(xs: Named<A>, names: readonly string[]): Named<A> => {
  const dropped = new Set(names)
  return filtered(xs, (name) => !dropped.has(name))
}
export const only = <A>(xs: Named<A>, names: readonly string[]): Named<A> => {
  const kept = new Set(names)
  return filtered(xs, (name) => kept.has(name))
}
/** The step that is fed what is left, its first feeds brought to the device at once where an engine can. */
export const fedAhead =
  ({ step, ahead }: Pick<Stepper, 'step' | 'ahead'>) =>
  (feeds: Values): Effect<Stepper['step']> =>
    ahead === undefined ? TE.right((rest) => step({ ...feeds, ...rest })) : ahead(feeds)

/** The same stepper, each of its steps, and what is brought ahead of one, as another effect of the same. */
export const eachStep =
  (as: <A>(work: Effect<A>) => Effect<A>) =>
  (stepper: Stepper): Stepper => ({
    ...stepper,
    step: (feeds) => as(stepper.step(feeds)),
    ahead: (feeds) =>
      pipe(
        as(fedAhead(stepper)(feeds)),
        TE.map((step) => (others) => as(step(others))),
      ),
  })

/** The carried outputs under the names of the leaves that they become. */
export const carried = <A>(outputs: Named<A>, carry: Carry): Named<A> =>
  Object.fromEntries(
    Object.entries(outputs).flatMap(([name, x]) => {
      const leaf = own(carry, name)
      return leaf === undefined ? [] : [[leaf, x] as const]
    }),
  )

const noSuchLeaf = (leaf: string, leaves: Types): Checked<never> =>
  fail('run', leaf, 'the name of a leaf that is fed', 'no such leaf', didYouMean(leaf, Object.keys(leaves)))

/** The types of leaves by their names. */
export const checkNames = (names: readonly string[], leaves: Types): Checked<Types> =>
  pipe(
    collect(
      names.map((name): Checked<readonly [string, TensorType]> => {
        const type = own(leaves, name)
        return type === undefined ? noSuchLeaf(name, leaves) : E.right([name, type])
      }),
    ),
    E.map((types) => Object.fromEntries(types)),
  )

/** The types of the carried leaves, where each is fed by one output of its own type. */
export const checkCarry = (carry: Carry, outputs: Types, leaves: Types): Checked<Types> => {
  const taken = new Set<string>()
  const links = Object.entries(carry).map(([output, leaf]): Checked<readonly [string, TensorType]> => {
    const [from, to] = [own(outputs, output), own(leaves, leaf)]
    if (from === undefined)
      return fail('run', output, 'the name of an output', 'no such output', didYouMean(output, Object.keys(outputs)))
    if (to === undefined) return noSuchLeaf(leaf, leaves)
    if (taken.has(leaf)) return fail('run', leaf, 'one output to carry', `a second, ${output}`)
    taken.add(leaf)
    return sameType(from, to)
      ? E.right([leaf, to])
      : fail('run', leaf, showType(to), `${showType(from)} from ${output}`)
  })
  const all = collect(links)
  return E.isLeft(all) ? all : E.right(Object.fromEntries(all.right))
}
