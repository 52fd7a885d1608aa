import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { asArgument } from './names.ts'
import { elementsOf, isFloatingPoint } from './stored.ts'

/** What comes of loading a file's arrays into a model's parameters: `load_state_dict` with nothing left unsaid. */

/** How a file names parameters: a prefix, and for averages (`LitEma`, `ldm/modules/ema.py`) names without dots. */
export interface Naming {
  readonly prefix: string
  readonly dotless: boolean
}

/** A parameter to load: its name in the model, and under which key the file should hold it. */
export interface Wanted {
  readonly name: string
  readonly key: string
  readonly shape: readonly number[]
}

/** The key of a parameter in a file that names its parameters so. */
export const keyIn =
  ({ prefix, dotless }: Naming) =>
  (name: string): string =>
    prefix + (dotless ? name.replaceAll('.', '') : name)

/** What is known of an array without its numbers. */
export interface ArrayType {
  readonly dtype: string
  readonly shape: readonly number[]
}

export interface Misshaped extends Wanted {
  readonly found: ArrayType
}

/** How a file's arrays meet those that are wanted. */
export interface LoadReport {
  /** In the file as wanted. */
  readonly loaded: readonly Wanted[]
  /** Wanted, but not in the file. */
  readonly missing: readonly Wanted[]
  /** Keys of the file that nobody wants. */
  readonly unexpected: readonly string[]
  /** Of another shape, or no floating-point numbers. */
  readonly misshaped: readonly Misshaped[]
  /** Keys of the file that were to be ignored. */
  readonly ignored: readonly string[]
  /** Wanted under keys that were to be ignored: these keep their initial values. */
  readonly kept: readonly Wanted[]
}

const fits = (wanted: Wanted, found: ArrayType): boolean =>
  isFloatingPoint(found.dtype) &&
  wanted.shape.length === found.shape.length &&
  wanted.shape.every((n, i) => n === found.shape[i])

/**
 * Compares what a model wants with what a file holds. Keys that begin with one of `ignoreKeys` are left alone (as
 * `init_from_ckpt` of CompVis latent-diffusion does, `ldm/models/autoencoder.py`). Errors (`usage`): a prefix that
 * nothing begins with.
 */
export const loadReport = (
  wanted: readonly Wanted[],
  found: Readonly<Record<string, ArrayType>>,
  ignoreKeys: readonly string[] = [],
): Checked<LoadReport> => {
  const ignores = (key: string): boolean => ignoreKeys.some((prefix) => key.startsWith(prefix))
  const keys = Object.keys(found)
  const idle = ignoreKeys.filter((prefix) => !keys.some((key) => key.startsWith(prefix)))
  const sought = wanted.filter(({ key }) => !ignores(key))
  const held = sought.flatMap((w) => {
    const array = Object.hasOwn(found, w.key) ? found[w.key] : undefined
    return array === undefined ? [] : [{ ...w, found: array }]
  })
  const wantedKeys = new Set(wanted.map(({ key }) => key))
  return pipe(
    collect(
      idle.map((prefix) =>
        fail('usage', '--ignore-keys', 'the beginning of a key of the file', JSON.stringify(prefix), example(keys)),
      ),
    ),
    E.map(() => ({
      loaded: held.filter((w) => fits(w, w.found)).map(({ name, key, shape }) => ({ name, key, shape })),
      missing: sought.filter(({ key }) => !Object.hasOwn(found, key)),
      unexpected: keys.filter((key) => !wantedKeys.has(key) && !ignores(key)),
      misshaped: held.filter((w) => !fits(w, w.found)),
      ignored: keys.filter(ignores),
      kept: wanted.filter(({ key }) => ignores(key)),
    })),
  )
}

const example = (keys: readonly string[]): string =>
  keys.length === 0
    ? 'the file has no keys'
    : `the file has ${keys.slice(0, 3).join(', ')}${keys.length > 3 ? ', ...' : ''}`

const showShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`
const showFound = ({ dtype, shape }: ArrayType): string => `${dtype}${showShape(shape)}`

/** Beginnings that keys have in common, each as short as can be while no wanted key begins so; none where that cannot be. */
const beginnings = (keys: readonly string[], wanted: readonly string[]): readonly string[] | undefined => {
  const free = (beginning: string): boolean => !wanted.some((key) => key.startsWith(beginning))
  const found = keys.map((key) => {
    const ends = [...key.matchAll(/\./g)].map(({ index }) => index)
    return [...ends.flatMap((end) => [key.slice(0, end), key.slice(0, end + 1)]), key].find(free)
  })
  const known = found.flatMap((beginning) => beginning ?? [])
  return known.length === keys.length ? [...new Set(known)] : undefined
}

const mostHinted = 8

/** What to add to the command where the file has but too much. */
const leavingAlone = ({ loaded, missing, misshaped, kept, unexpected }: LoadReport): string | undefined => {
  const wanted = [loaded, missing, misshaped, kept].flatMap((list) => list.map(({ key }) => key))
  const prefixes = beginnings(unexpected, wanted)
  return missing.length + misshaped.length > 0 || prefixes === undefined || prefixes.length > mostHinted
    ? undefined
    : `${prefixes.map((prefix) => `--ignore-keys ${asArgument(prefix)}`).join(' ')} leaves these keys alone`
}

/** The report, if file and model agree in every parameter. Errors (`file`): how many are missing, unexpected, misshaped. */
export const strictly =
  (path: string) =>
  (report: LoadReport): Checked<LoadReport> => {
    const apart = (['missing', 'misshaped', 'unexpected'] as const).filter((kind) => report[kind].length > 0)
    return apart.length === 0
      ? E.right(report)
      : fail(
          'file',
          path,
          "the model's parameters, all and no other",
          apart.map((kind) => `${report[kind].length} ${kind}`).join(', '),
          leavingAlone(report),
        )
  }

const shown = 8
const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0
    ? []
    : [
        `${title}: ${lines.length}`,
        ...lines.slice(0, shown).map((line) => `  ${line}`),
        ...(lines.length > shown ? [`  and ${lines.length - shown} more`] : []),
      ]

/** The report for a person: counts, and the first few of what is not as it should be. */
export const showLoadReport = (r: LoadReport): string => {
  const elements = r.loaded.reduce((n, { shape }) => n + elementsOf(shape), 0)
  return [
    `loaded: ${r.loaded.length} arrays, ${elements.toLocaleString('en')} parameters`,
    ...section(
      'missing',
      r.missing.map(({ key, shape }) => `${key} ${showShape(shape)}`),
    ),
    ...section(
      'misshaped',
      r.misshaped.map(({ key, shape, found }) => `${key} ${showShape(shape)}, in the file ${showFound(found)}`),
    ),
    ...section('unexpected', r.unexpected),
    ...section(
      'kept at their initial values',
      r.kept.map(({ key }) => key),
    ),
    ...section('ignored', r.ignored),
  ].join('\n')
}
