import { type Checked, fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import { anything, type Codec, decode, literal, withDefault } from '../../schema.ts'

/** What the configurations of diffusers' models have in common. */

/** A configuration as one of ours, and the fields of it that change no number here. */
export interface Read<C> {
  readonly config: C
  readonly ignored: readonly string[]
}

export type Json = Readonly<Record<string, unknown>>
const isObject = (u: unknown): u is Json => typeof u === 'object' && u !== null && !Array.isArray(u)

/** A field that must have this value, which is diffusers' default: with others it is another network. */
export const only = <const V extends string | number | boolean | null>(value: V) => withDefault(literal([value]), value)
/** One of these, the first by default. */
export const among = <
  const V extends readonly [string | number | boolean | null, ...(string | number | boolean | null)[]],
>(
  ...values: V
) => withDefault(literal(values), values[0])

/** Fields that change no number. */
export const unheeded = (names: readonly string[]): Readonly<Record<string, Codec<unknown>>> =>
  Object.fromEntries(names.map((name) => [name, anything]))

/** Of averages of weights (diffusers' `EMAModel`), which are saved with how they were taken. */
const ofAverages: readonly string[] = [
  ...['decay', 'inv_gamma', 'min_decay', 'optimization_step', 'power', 'update_after_step', 'use_ema_warmup'],
]
/** Written by diffusers beside a model's arguments. */
const administrative = (name: string): boolean => name.startsWith('_') || ofAverages.includes(name)

/**
 * Reads the `config.json` of a class. Its fields in `harmless` that say something are listed. Errors (`config`), by JSON pointers behind
 * `base`: another class, a field that is not known, a value that makes another network.
 */
export const readConfig =
  <A>(name: string, codec: Codec<A>, harmless: readonly string[]) =>
  (document: unknown, base: string): Checked<Read<A>> => {
    if (!isObject(document)) return fail('config', base || '/', `the configuration of a ${name}`, typeof document)
    const { _class_name: given = name } = document
    if (given !== name) return fail('config', `${base}/_class_name`, JSON.stringify(name), JSON.stringify(given))
    return pipe(
      Object.fromEntries(Object.entries(document).filter(([key]) => !administrative(key))),
      decode(codec, { base }),
      E.map((config) => ({
        config,
        ignored: harmless.filter((key) => ![undefined, null, false].some((off) => document[key] === off)),
      })),
    )
  }
