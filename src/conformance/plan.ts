import { leafName, type Tensor } from '../declare/index.ts'
import type { Checked, Effect } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { StoredArray, StoredArrays } from '../io/stored.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import { type Codec, decode } from '../schema.ts'
import { type Case, type CaseFile, readCase, subjectOf } from './case.ts'
import type { Tolerance } from './compare.ts'

/** How what a case tests is rebuilt. Outputs and values stand under the names of the tensors they are compared with. */
export type Plan =
  /** A graph over the case's `in.*` and `param.*`; `known` needs no executor. */
  | { readonly kind: 'graph'; readonly outputs: Readonly<Record<string, Tensor>>; readonly known?: Values }
  /** A loop over graphs, or none. `expected` stands in for what the file does not hold as tensors. */
  | {
      readonly kind: 'effect'
      readonly run: (executor: Executor) => Effect<Values>
      readonly expected?: StoredArrays
      /** Go before the area's, for what this case says of itself. */
      readonly tolerances?: readonly Tolerance[]
    }
  | { readonly kind: 'skip'; readonly reason: string }

export const skip = (reason: string): Plan => ({ kind: 'skip', reason })

/** Rebuilds the cases of one class or function of the reference. */
export interface Adapter {
  /** The keys of `config` it heeds; those of a published configuration are all heeded or refused. */
  readonly keys: readonly string[] | 'all'
  readonly plan: (c: Case) => Checked<Plan>
}

/** Keys that tell how a case was made, and what its tensors show anyway. */
const bookkeeping = [
  'seed',
  'batch',
  'hw',
  'input_hw',
  'shape',
  'params',
  'param_seed',
  'gain',
  'context_tokens',
  'resulting_heads',
  'params_f64_reldiff',
  'worst_param',
  'smallest_margin_squared_distance',
  'source',
  'notes',
]

const Described = t.type({ properties: t.UnknownRecord })

/** An adapter for cases whose `config` a codec reads; `null` stands for a key left out. */
export const adapter = <A>(codec: Codec<A>, build: (settings: A, c: Case) => Checked<Plan>): Adapter => {
  const keys = Described.is(codec.json) ? Object.keys(codec.json.properties) : []
  return {
    keys,
    plan: (c) => {
      const heeded = keys.flatMap((k) => {
        const value = c.config[k]
        return value === undefined || value === null ? [] : [[k, value] as const]
      })
      return pipe(
        Object.fromEntries(heeded),
        decode(codec, { base: `${c.file.path}: config` }),
        E.flatMap((settings) => build(settings, c)),
      )
    },
  }
}

/** An adapter for cases whose `config` is read as a published configuration is. */
export const publishedAdapter = <A>(
  read: (params: unknown, base: string) => Checked<A>,
  build: (config: A, c: Case) => Checked<Plan>,
): Adapter => ({
  keys: 'all',
  plan: (c) => {
    const params = Object.entries(c.config).filter(([k, v]) => v !== null && !bookkeeping.includes(k))
    return pipe(
      read(Object.fromEntries(params), `${c.file.path}: config`),
      E.flatMap((config) => build(config, c)),
    )
  },
})

/** Reported by name, not run. */
export const skipped = (reason: string): Adapter => ({ keys: [], plan: () => E.right(skip(reason)) })

/** A case, ready to run: what to compute, and what must come of it. */
export interface Prepared {
  readonly plan: Plan
  readonly subject: string
  readonly expected: StoredArrays
  readonly tolerances: readonly Tolerance[]
  /** The case the plan's leaves are fed from; none where there is nothing to feed. */
  readonly given?: Case
  /** What of the file is left out of the comparison, and why. */
  readonly note?: string
}

const bytesOf = ({ data }: StoredArray): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength)
const sameBits = (a: StoredArray, b: StoredArray): boolean => a.dtype === b.dtype && bytesOf(a).equals(bytesOf(b))

/**
 * Buffers that a call in training mode changes, and that a file has with the same bits before and after: both are from after the
 * call, so there is nothing to start from. One that the graph hands on as it is stays comparable.
 */
const shippedAfterwards = (plan: Plan, c: Case): readonly string[] => {
  const training = c.config.mode === 'train' || c.config.train === true
  if (plan.kind !== 'graph' || !training) return []
  return Object.entries(plan.outputs).flatMap(([out, x]) => {
    const [, name] = /^out\.buffer\.(.+)$/.exec(out) ?? []
    const [before, after] = [name === undefined ? undefined : c.params[name], c.expected[out]]
    return before !== undefined && after !== undefined && leafName(x) !== name && sameBits(before, after) ? [out] : []
  })
}

const expectations = (plan: Plan, c: Case): Pick<Prepared, 'expected' | 'note'> => {
  const expected = (plan.kind === 'effect' ? plan.expected : undefined) ?? c.expected
  const unseen = shippedAfterwards(plan, c)
  return unseen.length === 0
    ? { expected }
    : {
        expected: Object.fromEntries(Object.entries(expected).filter(([name]) => !unseen.includes(name))),
        note: `${unseen.length} buffers shipped only after the call: not compared`,
      }
}

/** A folder of cases. */
export type Area = (file: CaseFile) => Effect<Prepared>

/** A folder whose cases name what they test in `source`. */
export const area =
  (adapters: Readonly<Record<string, Adapter>>, tolerances: readonly Tolerance[]): Area =>
  (file) =>
    pipe(
      readCase(file),
      TE.flatMapEither((given) => {
        const subject = subjectOf(given.source)
        const found = Object.hasOwn(adapters, subject) ? adapters[subject] : undefined
        const chosen = found ?? skipped(`no adapter for ${JSON.stringify(subject)}`)
        const unheeded = Object.keys(given.config).filter(
          (k) =>
            given.config[k] !== null && chosen.keys !== 'all' && !chosen.keys.includes(k) && !bookkeeping.includes(k),
        )
        return pipe(
          chosen.plan(given),
          E.map((plan) => ({
            plan:
              plan.kind === 'skip' || unheeded.length === 0 ? plan : skip(`config not offered: ${unheeded.join(', ')}`),
            subject,
            ...expectations(plan, given),
            tolerances: [...((plan.kind === 'effect' ? plan.tolerances : undefined) ?? []), ...tolerances],
            given,
          })),
        )
      }),
    )

/** A folder whose cases are reported, not run. */
export const later =
  (reason: string): Area =>
  () =>
    TE.right({ plan: skip(reason), subject: '', expected: {}, tolerances: [] })
