import { type Checked, fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import { anything, type Codec, decode, didYouMean, number, record, text, withDefault } from '../../schema.ts'

/** Configurations of the original code: objects `{ target, params }`, read target by target. */

export type Json = Readonly<Record<string, unknown>>
export const isObject = (u: unknown): u is Json => typeof u === 'object' && u !== null && !Array.isArray(u)

/** Reads the `params` of one target; errors begin with `base`. */
export type Reader<A> = (params: unknown, base: string) => Checked<A>

const withoutNulls = (u: unknown): unknown =>
  isObject(u) ? Object.fromEntries(Object.entries(u).filter(([, v]) => v !== null)) : u
/** An argument that is null is one left out. */
export const reading =
  <A>(codec: Codec<A>): Reader<A> =>
  (params, base) =>
    pipe(params, withoutNulls, decode(codec, { base }))

const instance = reading(
  record(
    { target: text },
    { params: withDefault(anything, {}) },
    { base_learning_rate: number({ min: -1e6, max: 1e6 }) },
  ),
)

/**
 * The names that a class may be known by: within another package (`stable_diffusion.ldm.`), and Stability's of before its package was
 * called `sgm`.
 */
const namesOf = (target: string): readonly string[] => {
  const own = target.replace(/^.*?\.(?=(?:ldm|sgm|cldm|taming)\.)/, '')
  return [target, own, own.replace(/^ldm\./, 'sgm.')]
}

/** `other` reads targets that the table lacks; without it they are refused. */
export const byTarget =
  <A>(table: Readonly<Record<string, Reader<A>>>, other?: (target: string) => A): Reader<A> =>
  (u, base) =>
    pipe(
      instance(u, base),
      E.flatMap(({ target, params }) => {
        const known = namesOf(target).find((name) => Object.hasOwn(table, name))
        const reader = known === undefined ? undefined : table[known]
        const names = Object.keys(table)
        return reader !== undefined
          ? reader(params, `${base}/params`)
          : other !== undefined
            ? E.right(other(target))
            : fail('config', `${base}/target`, names.join(' | '), JSON.stringify(target), didYouMean(target, names))
      }),
    )
