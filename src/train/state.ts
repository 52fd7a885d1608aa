import { drawKey, fillNormal, fillUniform, fold, key } from '../distributions/random.ts'
import { type Checked, collect, fail } from '../error.ts'
import { floats, type Value, type Values } from '../execute/executor.ts'
import type { Types } from '../execute/feeds.ts'
import { type Graph, noises, parameters } from '../graph/graph.ts'
import type { Attributes, Initializer } from '../graph/ops.ts'
import { type Shape, sameShape, showShape, size, type TensorType } from '../graph/types.ts'
import type { StoredArray, StoredArrays } from '../io/stored.ts'
import { E, pipe, RR } from '../prelude.ts'

/** The arrays of a run: how they start, how they are filled, how they are stored. */

type Fill<K extends Initializer['kind']> = (
  init: Extract<Initializer, { readonly kind: K }>,
  seed: number,
  name: string,
  out: Float32Array,
) => Float32Array
const drawn = (seed: number, name: string) => fold(fold(key(seed), 'initial'), name)
const fills: { readonly [K in Initializer['kind']]: Fill<K> } = {
  zeros: (_, __, ___, out) => out,
  ones: (_, __, ___, out) => out.fill(1),
  constant: ({ value }, _, __, out) => out.fill(value),
  uniform: ({ bound }, seed, name, out) => {
    fillUniform(drawn(seed, name), out)
    return out.map((u) => (2 * u - 1) * bound)
  },
  normal: ({ std, mean = 0 }, seed, name, out) => {
    fillNormal(drawn(seed, name), out)
    return out.map((z) => z * std + mean)
  },
  values: ({ data }, _, __, out) => out.map((_zero, i) => data[i] ?? Number.NaN),
  loaded: (_, __, ___, out) => out.fill(Number.NaN),
}
const filled = <K extends Initializer['kind']>(
  kind: K,
  init: Extract<Initializer, { readonly kind: K }>,
  seed: number,
  name: string,
  out: Float32Array,
): Float32Array => fills[kind](init, seed, name, out)

/** A parameter's first value, from the run's seed and its name alone. */
export const initialValue = (
  seed: number,
  { name, shape, init }: Attributes['parameter'],
): Extract<StoredArray, { readonly dtype: 'float32' }> => ({
  dtype: 'float32',
  shape,
  data: filled(init.kind, init, seed, name, new Float32Array(size(shape))),
})

/** The parameters of a graph as they begin, each drawn under a key of its own. */
export const initialParameters = (g: Graph, seed: number): Values =>
  Object.fromEntries(parameters(g).map((p) => [p.name, initialValue(seed, p)]))

/** Which samples of a step a batch holds: so many, behind the first `from`. */
export interface Place {
  readonly from: number
  readonly batch: number
}

/**
 * The noise a graph asks for: sample i of leaf `name` at `step` is drawn from `fold(seed, step, name, i)`. Where the batch is a part of
 * the step's, i counts the samples of the step; leaves without a row a sample are the same for all parts.
 */
export const noiseFeeds = (g: Graph, seed: number, step: number, place: Place = { from: 0, batch: 0 }): Values =>
  Object.fromEntries(
    noises(g).map((leaf) => [
      leaf.name,
      noiseFeed(leaf, { seed, step, from: leaf.shape[0] === place.batch ? place.from : 0 }),
    ]),
  )

const fillers = { normal: fillNormal, uniform: fillUniform } as const
const noiseFeed = (
  { name, shape, distribution }: Attributes['noise'],
  { seed, step, from }: { readonly seed: number; readonly step: number; readonly from: number },
): Value => {
  const out = new Float32Array(size(shape))
  const each = size(shape.slice(1))
  for (let i = 0; i * each < out.length; i++)
    fillers[distribution](drawKey(seed, { step, name, sample: from + i }), out.subarray(i * each, (i + 1) * each))
  return floats(shape, out)
}

export const zeros = (shape: Shape): Value => floats(shape, new Float32Array(size(shape)))

const stored = (v: Value): StoredArray =>
  v.dtype === 'int32' || v.dtype === 'bool' ? v : { dtype: 'float32', shape: v.shape, data: Float32Array.from(v.data) }
export const storedValues: (values: Values) => StoredArrays = RR.map(stored)

/** The arrays of a file that a graph can take; the wider types of foreign files are left out. */
export const loadedValues = (arrays: StoredArrays): Values =>
  Object.fromEntries(
    Object.entries(arrays).flatMap(([name, a]): readonly (readonly [string, Value])[] =>
      a.dtype === 'float32' || a.dtype === 'int32' || a.dtype === 'bool' ? [[name, a]] : [],
    ),
  )

/** The scope of what the parts of a step hand on to each other, which no checkpoint holds. */
export const accumulationScope = 'accumulate'
/** The scopes of what a step carries beside the model's parameters. */
export const stateScopes = ['optimizer', 'ema', accumulationScope] as const

/** What post-hoc averages are called among the averages. */
export const powerName = (i: number): string => `power${i}`

/** The checkpoint group of a leaf, and its name there: `optimizer.m.conv.weight` is `m.conv.weight` of `optimizer`. */
export const groupOf = (leaf: string): readonly [group: string, name: string] => {
  const scope = stateScopes.find((s) => leaf.startsWith(`${s}.`))
  return scope === undefined ? ['parameters', leaf] : [scope, leaf.slice(scope.length + 1)]
}
const leafOf = (group: string, name: string): string => (group === 'parameters' ? name : `${group}.${name}`)

/** What each leaf of a step's state has, in the groups of a checkpoint: `parameters`, `ema`, and the optimiser's moments. */
export const inGroups = <A>(
  state: Readonly<Record<string, A>>,
): Readonly<Record<string, Readonly<Record<string, A>>>> => {
  const groups = [...new Set(Object.keys(state).map((leaf) => groupOf(leaf)[0]))]
  return Object.fromEntries(
    groups.map((g) => [
      g,
      Object.fromEntries(
        Object.entries(state).flatMap(([leaf, v]) => (groupOf(leaf)[0] === g ? [[groupOf(leaf)[1], v] as const] : [])),
      ),
    ]),
  )
}
export const grouped = (state: Values): Readonly<Record<string, StoredArrays>> =>
  pipe(state, inGroups, RR.map(storedValues))

/** The groups that a model is drawn with. */
export const drawnGroups = ['parameters', 'ema'] as const

/** Of a state the parameters, averaged where they are. */
export const drawnWeights = (state: Values): Values =>
  Object.fromEntries(
    Object.entries(state).flatMap(([name, value]) =>
      groupOf(name)[0] === 'parameters' ? [[name, state[`ema.shadow.${name}`] ?? value] as const] : [],
    ),
  )

/** Version 0.1.0 wrote moments and averages flat. */
const unflattened = (name: string, got: Value, { shape }: TensorType): Value =>
  groupOf(name)[0] !== 'parameters' && sameShape(got.shape, [size(shape)]) ? { ...got, shape } : got

/** The state of a checkpoint, which must hold every array of `like` in its shape, and no other. */
export const loadedState = (
  at: string,
  groups: Readonly<Record<string, StoredArrays>>,
  like: Types,
): Checked<Values> => {
  const found: Values = Object.fromEntries(
    Object.entries(groups).flatMap(([g, arrays]) =>
      Object.entries(loadedValues(arrays)).map(([name, v]) => [leafOf(g, name), v] as const),
    ),
  )
  const names = [...new Set([...Object.keys(found), ...Object.keys(like)])]
  return pipe(
    collect(
      names.map((name): Checked<readonly [string, Value]> => {
        const [got, wanted] = [found[name], like[name]]
        if (wanted === undefined) return fail('training', `${at}: ${name}`, 'no such array', 'one')
        if (got === undefined)
          return fail('training', `${at}: ${name}`, `${wanted.dtype}${showShape(wanted.shape)}`, 'nothing')
        const value = unflattened(name, got, wanted)
        return value.dtype === wanted.dtype && sameShape(value.shape, wanted.shape)
          ? E.right([name, value])
          : fail(
              'training',
              `${at}: ${name}`,
              `${wanted.dtype}${showShape(wanted.shape)}`,
              `${got.dtype}${showShape(got.shape)}`,
            )
      }),
    ),
    E.map((entries) => Object.fromEntries(entries)),
  )
}
