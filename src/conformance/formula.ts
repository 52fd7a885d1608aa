import { type Checked, fail } from '../error.ts'
import { floats, type Value } from '../execute/executor.ts'
import type { Attributes, Initializer } from '../graph/ops.ts'
import { type Shape, size } from '../graph/types.ts'
import { E, t } from '../prelude.ts'
import { initialValue } from '../train/state.ts'
import type { Case } from './case.ts'
import type { Tolerance } from './compare.ts'

/** The parameters of cases that ship none: a hash of name and index (the fixtures' README). */

const fnv1a = (text: string): number =>
  new TextEncoder().encode(text).reduce((h, byte) => Math.imul(h ^ byte, 16777619), 2166136261 | 0)

/** u in [-1, 1) of the flat index i, for the hash of a name. */
const uniformAt = (hash: number, i: number): number => {
  let x = (hash + Math.imul(i, 0x9e3779b1)) | 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1
}

/** The first `count` numbers of a name's stream. */
export const hashUniform = (name: string, count: number): Float64Array => {
  const hash = fnv1a(name)
  return Float64Array.from({ length: count }, (_, i) => uniformAt(hash, i))
}

/** The value of the parameter `key`, in float32. */
export const formulaParameter = (seed: string, gain: number, key: string, shape: Shape): Value => {
  const count = size(shape)
  const bound = gain * Math.sqrt(3 / (count / (shape[0] ?? 1)))
  const place =
    shape.length >= 2
      ? (u: number) => bound * u
      : key.endsWith('.weight')
        ? (u: number) => 1 + 0.25 * u
        : (u: number) => 0.1 * u
  return floats(shape, Float32Array.from(hashUniform(`${seed}:${key}`, count), place))
}

const Listed = t.readonlyArray(t.tuple([t.string, t.readonlyArray(t.number)]))
const Seeded = t.intersection([t.type({ param_seed: t.string }), t.partial({ gain: t.number })])
const Formula = t.intersection([Seeded, t.type({ params: Listed })])
const Perceptual = t.type({ perceptual: Seeded })
const WithLoss = t.type({ loss: Perceptual })

export interface FormulaParameters {
  /** In the order of the reference's `state_dict`. */
  readonly shapes: readonly (readonly [key: string, shape: Shape])[]
  readonly valueAt: (key: string, shape: Shape) => Value
}

/** The parameters that a case leaves to the formula; undefined where it ships its own. */
export const formulaOf = ({ config }: Case): FormulaParameters | undefined =>
  Formula.is(config)
    ? {
        shapes: config.params,
        valueAt: (key, shape) => formulaParameter(config.param_seed, config.gain ?? 1, key, shape),
      }
    : undefined

/** The frozen trunk of a perceptual loss has a seed of its own, and is hashed without the loss' name. */
const trunkValue = ({ config }: Case, key: string, shape: Shape): Value | undefined => {
  const [, own] = /(?:^|\.)perceptual_loss\.(net\..+)$/.exec(key) ?? []
  const seeded = Perceptual.is(config) ? config.perceptual : WithLoss.is(config) ? config.loss.perceptual : undefined
  return own === undefined || seeded === undefined
    ? undefined
    : formulaParameter(seeded.param_seed, seeded.gain ?? 1, own, shape)
}

const total = (data: Iterable<number>): number => {
  let sum = 0
  for (const x of data) sum += x
  return sum
}

/** `paramcheck.first` and `paramcheck.sum`: the first value and the sum of each parameter, in order. */
export const parameterChecks = ({ shapes, valueAt }: FormulaParameters): Readonly<Record<string, Value>> => {
  const values = shapes.map(([key, shape]) => valueAt(key, shape).data)
  const column = (of: (data: Value['data']) => number): Value => floats([values.length], Float64Array.from(values, of))
  return {
    'paramcheck.first': column((data) => data[0] ?? Number.NaN),
    'paramcheck.sum': column(total),
  }
}

/** [sum, l2 norm, dot with the probe of its name]: what is compared of a large array. */
export const summed = (key: string, { data }: Value): readonly [number, number, number] => {
  const probe = hashUniform(`probe:${key}`, data.length)
  const total = (of: (x: number, i: number) => number): number => {
    let sum = 0
    for (const [i, x] of data.entries()) sum += of(x, i)
    return sum
  }
  return [total((x) => x), Math.sqrt(total((x) => x * x)), total((x, i) => x * (probe[i] ?? 0))]
}

/** What a fresh module begins with, where that is neither chance nor a file. */
const fresh: readonly Initializer['kind'][] = ['zeros', 'ones', 'constant', 'values']
export const freshValue = (p: Attributes['parameter']): Value | undefined =>
  fresh.includes(p.init.kind) ? initialValue(0, p) : undefined

/** A parameter of a case: shipped, by the formula, or, where the case does not speak of it, `start`. */
export const parameterOf =
  (c: Case, formula: FormulaParameters | undefined) =>
  (key: string, shape: Shape, start?: Value): Checked<Value> => {
    const shipped = c.params[key]
    if (shipped !== undefined) return E.right(floats(shipped.shape, Float64Array.from(shipped.data, Number)))
    const byFormula = formula?.shapes.some(([listed]) => listed === key)
      ? formula.valueAt(key, shape)
      : (trunkValue(c, key, shape) ?? start)
    return byFormula === undefined
      ? fail('data', `param.${key}`, 'a parameter that the case ships or lists', 'none')
      : E.right(byFormula)
  }

/** The same formula gives the same bits; only the order of summation is free. */
export const parameterTolerances: readonly Tolerance[] = [
  { tensor: /^paramcheck\.first$/, measure: 'exact', limit: 0 },
  { tensor: /^paramcheck\.sum$/, measure: 'scaled', limit: 1e-12 },
]
