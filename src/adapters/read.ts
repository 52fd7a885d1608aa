import { dirname, join } from 'node:path'
import { type Checked, collect, type Effect, type Errors, effect, fail, failure, reasonOf } from '../error.ts'
import { type Shape, size } from '../graph/types.ts'
import { readBytes } from '../io/bytes.ts'
import { readTensorFile } from '../io/checkpoint-file.ts'
import { transposedMatrix } from '../io/key-map.ts'
import type { TensorFile } from '../io/safetensors.ts'
import { countNonFinite } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type Factors, factorsIn, factorsOfConfig, unsaid } from './factors.ts'
import { changeOf, type Numbers, numbersOf } from './forms.ts'
import { type Key, readKey, refusedKind } from './keys.ts'
import type { LowRank, LowRanks } from './low-rank.ts'
import { type Directory, directoryOf, type Located, type Network, nearestIn } from './networks.ts'

/** Adapters from the files in which people have them. */

/** Of each network of a model, by the parameters that are changed. */
export type Adapter = Readonly<Record<string, LowRanks>>

/** The shape of what a file's module changes, which may pack several of our weights, or hold one turned. */
const fileShape = (located: readonly Located[]): Shape => {
  const [first] = located
  const own = first?.network.shapes[first.parameter] ?? []
  const rows = located.flatMap(({ place }) => place.rows?.[1] ?? [])
  const [out = 1, ...rest] = first?.place.transpose === true ? own.toReversed() : own
  return [rows.length === 0 ? out : Math.max(...rows), ...rest]
}

/** A file's change as that of one of our weights. */
const ours = (change: LowRank, { network, parameter, place }: Located): LowRank => {
  const shape = network.shapes[parameter] ?? []
  const { rank, down, up } = change
  const [out = 1, ...rest] = change.shape
  if (place.transpose === true)
    return { ...change, shape, down: transposedMatrix(up, out, rank), up: transposedMatrix(down, rank, size(rest)) }
  return place.rows === undefined
    ? { ...change, shape }
    : { ...change, shape, up: up.slice(place.rows[0] * rank, place.rows[1] * rank) }
}

/** Lines below each other, where an error lists more than one thing. */
const listed = (items: readonly string[]): string => items.map((item) => `\n    ${item}`).join('')

/** Keys of one module: `module.{alpha, lora_up.weight}`. */
const together = (module: string, keys: readonly string[]): string => {
  const rests = keys.map((key) => key.slice(module.length + 1))
  return keys.length > 1 && keys.every((key) => key.startsWith(`${module}.`))
    ? `${module}.{${rests.join(', ')}}`
    : keys.join(', ')
}

const refusals = (keys: readonly string[], path: string): Checked<unknown> => {
  const kinds = keys.flatMap((key) => {
    const kind = refusedKind(key)
    return kind === undefined ? [] : [{ kind, key }]
  })
  const [first] = kinds
  return first === undefined
    ? E.right(keys)
    : fail(
        'file',
        path,
        'LoRA, LoCon, LoHa or LoKr',
        [...new Set(kinds.map(({ kind }) => kind))]
          .map((kind) => {
            const own = kinds.filter((k) => k.kind === kind)
            return `${kind}: ${own.length} keys, ${own[0]?.key}`
          })
          .join('; '),
        'the program that made it may merge it into the weights, or leave such keys out',
      )
}

/** A module of a file, with the weights that it is. */
interface Found {
  readonly module: string
  readonly keys: readonly Key[]
  readonly located: readonly Located[]
}

/** Errors: one that lists all keys that find no place. */
const placed = (file: TensorFile, directory: Directory, path: string): Checked<readonly Found[]> => {
  const read = Object.keys(file.tensors).map((key) => ({ key, as: readKey(key) }))
  const nearest = nearestIn(directory)
  const modules = new Map<string, Key[]>()
  const lost = new Map<string, string[]>()
  for (const { key, as } of read) {
    if (as !== undefined && directory.has(as.module)) modules.set(as.module, [...(modules.get(as.module) ?? []), as])
    else {
      const name = as?.module ?? key
      lost.set(name, [...(lost.get(name) ?? []), key])
    }
  }
  if (lost.size > 0) {
    const made = file.metadata.ss_base_model_version ?? file.metadata['modelspec.architecture']
    return fail(
      'file',
      path,
      'keys that name weights of the model',
      `${[...lost.values()].flat().length} keys that find no place:${listed(
        [...lost].map(([name, keys]) => {
          const near = nearest(name)
          return `${together(name, keys)}${near === undefined ? '' : ` (the nearest is ${near})`}`
        }),
      )}`,
      modules.size > 0
        ? 'it was made for another model of the kind'
        : `it was made for another kind of model${made === undefined ? '' : `: ${made}`}`,
    )
  }
  return E.right([...modules].map(([module, keys]) => ({ module, keys, located: directory.get(module) ?? [] })))
}

const arraysOf = (
  { keys }: Found,
  { tensors }: TensorFile,
  path: string,
): Checked<Readonly<Record<string, Numbers>>> => {
  const twice = keys.find(({ part }, i) => keys.findIndex((k) => k.part === part) < i)
  if (twice !== undefined)
    return fail('file', path, `one array for ${twice.part} of ${twice.module}`, `another: ${twice.key}`)
  const arrays = keys.flatMap(({ key, part }) => {
    const array = tensors[key]
    return array === undefined ? [] : [{ key, part, numbers: numbersOf(array) }]
  })
  const broken = arrays.find(({ numbers }) => countNonFinite(numbers.data) > 0)
  return broken === undefined
    ? E.right(Object.fromEntries(arrays.map(({ part, numbers }) => [part, numbers])))
    : fail('file', `${path}: ${broken.key}`, 'finite numbers', 'some that are NaN or infinite')
}

/** An adapter out of a file's arrays. Errors: `file`. */
export const adapterOf = (
  file: TensorFile,
  networks: readonly Network[],
  path: string,
  config: Factors = unsaid,
): Checked<Adapter> =>
  pipe(
    refusals(Object.keys(file.tensors), path),
    E.flatMap(() => placed(file, directoryOf(networks), path)),
    E.filterOrElse(
      (found) => found.length > 0,
      (): Errors => [failure('file', path, 'an adapter', 'no array')],
    ),
    E.flatMap((found) =>
      collect(
        found.map((one) => {
          const [first] = one.located
          if (first === undefined) return fail('file', one.module, 'a weight', 'none')
          return pipe(
            E.Do,
            E.bind('arrays', () => arraysOf(one, file, path)),
            E.bind('factors', () => factorsIn(file.metadata, first.network.dotted[0].replace(/\.$/, ''), path)),
            E.bind('change', ({ arrays, factors }) =>
              changeOf(
                {
                  module: `${path}: ${one.module}`,
                  arrays,
                  factor: (rank) => factors(first.module, rank) ?? config(first.module, rank),
                },
                fileShape(one.located),
              ),
            ),
            E.map(({ change }) => one.located.map((located) => ({ located, change: ours(change, located) }))),
          )
        }),
      ),
    ),
    E.flatMap((all) => byNetwork(all.flat(), path)),
  )

interface Changed {
  readonly located: Located
  readonly change: LowRank
}
/** Errors: a weight that is changed twice, by two of its names. */
const byNetwork = (all: readonly Changed[], path: string): Checked<Adapter> => {
  const made: Record<string, Record<string, LowRank>> = {}
  for (const { located, change } of all) {
    const { network, parameter } = located
    const own = made[network.component] ?? {}
    if (Object.hasOwn(own, parameter))
      return fail('file', path, `one change of ${parameter} of ${network.component}`, 'two, by different names')
    own[parameter] = change
    made[network.component] = own
  }
  return E.right(made)
}

/** peft keeps alpha in a file beside the arrays, which say nothing without it. */
const peftsOwn = /^base_model\.model\./
const configBeside = (path: string): Effect<Factors> => {
  const at = join(dirname(path), 'adapter_config.json')
  return pipe(
    readBytes(at),
    TE.flatMapEither((bytes) =>
      E.tryCatch(
        (): unknown => JSON.parse(new TextDecoder().decode(bytes)),
        (reason): Errors => [failure('file', at, 'JSON', reasonOf(reason))],
      ),
    ),
    TE.flatMapEither((value) => factorsOfConfig(value, at)),
  )
}

/**
 * An adapter in a file of diffusers, peft, kohya, LyCORIS or of attention processors, safetensors or torch, for a model of these networks.
 * Errors (`file`): keys that find no place, with the nearest names; kinds that are not known; arrays that do not fit.
 */
export const readAdapter = (path: string, networks: readonly Network[]): Effect<Adapter> =>
  effect(async (run) => {
    const file = await run(readTensorFile(path))
    const pefts = Object.keys(file.tensors).some((key) => peftsOwn.test(key))
    const config = pefts ? await run(configBeside(path)) : unsaid
    return run(TE.fromEither(adapterOf(file, networks, path, config)))
  })
