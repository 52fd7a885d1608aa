import { type Checked, collect, fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import { asArgument } from '../names.ts'
import type { TorchTensors } from './stored.ts'
import { describe, isKind, quoted, type TorchDict, type TorchTensor, type TorchValue } from './values.ts'

/** Which dictionary of a file is the model's. */

/** A dictionary of a file, and the path of names to it, joined by dots. */
interface Place {
  readonly path: string
  readonly dictionary: TorchDict
  readonly tensors: number
}

const tensorsIn = ({ entries }: TorchDict): number => {
  let count = 0
  for (const [name, value] of entries) if (typeof name === 'string' && isKind('tensor')(value)) count += 1
  return count
}

const joined = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

/** Every dictionary below a value that holds tensors by name, and little else; the fullest first. */
const placesBelow = (root: TorchValue): readonly Place[] => {
  const counts = new Map<TorchValue, number>([[root, 0]])
  const found: Place[] = []
  const queue: { readonly path: string; readonly value: TorchValue }[] = [{ path: '', value: root }]
  for (const { path, value } of queue) {
    if (!isKind('dict')(value)) continue
    for (const [name, inner] of value.entries) {
      if (typeof name !== 'string' || !isKind('dict')(inner)) continue
      const at = joined(path, name)
      const known = counts.get(inner)
      const tensors = known ?? tensorsIn(inner)
      counts.set(inner, tensors)
      if (2 * tensors > inner.entries.size) found.push({ path: at, dictionary: inner, tensors })
      if (known === undefined) queue.push({ path: at, value: inner })
    }
  }
  return found.sort((a, b) => b.tensors - a.tensors)
}

const mostNamed = 6
const listed = (names: readonly string[]): string =>
  `${names.slice(0, mostNamed).join(', ')}${names.length > mostNamed ? `, and ${names.length - mostNamed} more` : ''}`

const nameOf = (name: TorchValue): string => (typeof name === 'string' ? name : describe(name))
const shown = ({ path, tensors }: Place): string => `${quoted(path)} (${tensors} tensors)`
const offered = (places: readonly Place[]): string => {
  const options = places.slice(0, mostNamed).map(({ path }) => `--from ${asArgument(path)}`)
  return `${options.join(', or ')} ${options.length === 1 ? 'reads these' : 'chooses'}`
}

type Offer = (places: readonly Place[]) => string | undefined

/** What a file holds that is to be read: its entries by name, and what of the file is beside them. */
export interface Chosen {
  /** Where in the file; empty at its top. */
  readonly path: string
  readonly entries: ReadonlyMap<TorchValue, TorchValue>
  /** What else lies beside the way to it. */
  readonly beside: readonly string[]
  /** How many entries of the same dictionary have names that begin in another way. */
  readonly passed: number
  /** Other dictionaries of tensors. */
  readonly others: readonly { readonly path: string; readonly tensors: number }[]
}

/** Not what is within the chosen, nor what it is within. */
const othersOf = (places: readonly Place[], chosen: TorchDict): readonly Place[] => {
  const within = new Set(placesBelow(chosen).map(({ dictionary }) => dictionary))
  return places.filter(({ dictionary }) => dictionary !== chosen && !within.has(dictionary))
}

const besideOf = (root: TorchValue, path: string): readonly string[] =>
  isKind('dict')(root)
    ? [...root.entries.keys()].map(nameOf).filter((name) => path !== name && !path.startsWith(`${name}.`))
    : []

/** `state_dict` of what Lightning and the published trainers save, or what the file is where that has tensors of its own. */
const byDefault = (root: TorchValue, file: string, offer: Offer): Checked<Chosen> => {
  if (!isKind('dict')(root))
    return fail(
      'file',
      file,
      'a dictionary of tensors, by itself or as state_dict',
      describe(root),
      isKind('opaque')(root) ? 'save the state_dict() of a model, not the model' : undefined,
    )
  const places = placesBelow(root)
  const inner = root.entries.get('state_dict')
  if (isKind('dict')(inner) && (tensorsIn(inner) > 0 || inner.entries.size === 0))
    return E.right({
      path: 'state_dict',
      entries: inner.entries,
      beside: besideOf(root, 'state_dict'),
      passed: 0,
      others: othersOf(places, inner),
    })
  const [fullest] = places
  const own = tensorsIn(root)
  if (own > (fullest?.tensors ?? 0) || root.entries.size === 0)
    return E.right({ path: '', entries: root.entries, beside: [], passed: 0, others: places })
  return fullest === undefined
    ? fail(
        'file',
        file,
        'a dictionary of tensors, by itself or as state_dict',
        [...root.entries]
          .slice(0, mostNamed)
          .map(([name, value]) => `${quoted(nameOf(name))}: ${describe(value)}`)
          .join(', '),
      )
    : fail(
        'file',
        file,
        "a model's tensors, at the top of the file or as state_dict",
        listed(places.map(shown)),
        offer(places),
      )
}

/** The tensors of a dictionary whose names begin so, without that. */
const prefixed = (dictionary: TorchDict, prefix: string): ReadonlyMap<TorchValue, TorchValue> =>
  new Map(
    [...dictionary.entries].flatMap(([name, value]) =>
      typeof name === 'string' && name.startsWith(`${prefix}.`)
        ? [[name.slice(prefix.length + 1), value] as const]
        : [],
    ),
  )

/** Names may have dots themselves: every way to read the path is tried, the longest name first. */
const reached = (value: TorchValue, path: string): Pick<Chosen, 'entries' | 'passed'> | undefined => {
  if (path === '') return isKind('dict')(value) ? { entries: value.entries, passed: 0 } : undefined
  const [first = '', ...rest] = path.split('.')
  if (isKind('list', 'tuple')(value)) {
    const item = /^\d+$/.test(first) ? value.items[Number(first)] : undefined
    return item === undefined ? undefined : reached(item, rest.join('.'))
  }
  if (!isKind('dict')(value)) return undefined
  for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) {
    const name = path.slice(0, end)
    const inner = value.entries.get(name) ?? (/^\d+$/.test(name) ? value.entries.get(Number(name)) : undefined)
    const found = inner === undefined ? undefined : reached(inner, path.slice(end + 1))
    if (found !== undefined) return found
  }
  const entries = prefixed(value, path)
  return entries.size > 0 ? { entries, passed: value.entries.size - entries.size } : undefined
}

/** The dictionary at a path of names, joined by dots; the last of them may be what names of tensors begin with. */
const at = (root: TorchValue, from: string, file: string): Checked<Chosen> => {
  const found = reached(root, from)
  const places = placesBelow(root)
  return found === undefined
    ? fail(
        'usage',
        '--from',
        `the path of a dictionary of tensors in ${file}`,
        quoted(from),
        places.length === 0 ? undefined : `the file has ${listed(places.map(shown))}`,
      )
    : E.right({ ...found, path: from, beside: besideOf(root, from), others: [] })
}

/** Chooses a file's dictionary, by a path into it or by default. Errors: `file`, which offers what there is; `usage`, a path to nothing. */
export const chosen = (root: TorchValue, file: string, from?: string): Checked<Chosen> =>
  from === undefined ? byDefault(root, file, offered) : at(root, from, file)

const entry =
  (path: string) =>
  ([name, value]: readonly [TorchValue, TorchValue]): Checked<readonly [string, TorchTensor]> => {
    if (typeof name !== 'string') return fail('file', path, 'names of tensors', describe(name))
    return isKind('tensor')(value)
      ? E.right([name, value])
      : fail('file', `${path}: ${quoted(name)}`, 'a tensor', describe(value))
  }

/**
 * The tensors of a model by name: `state_dict` of what Lightning and the published trainers save, or the dictionary of
 * tensors that the file is. Errors: `file`, one for each entry that is no tensor.
 */
export const stateDict = (value: TorchValue, path: string): Checked<TorchTensors> =>
  pipe(
    byDefault(value, path, () => undefined),
    E.flatMap(({ entries }) => collect([...entries].map(entry(path)))),
    E.map((entries) => Object.fromEntries(entries)),
  )
