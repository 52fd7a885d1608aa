import { type Checked, type Effect, failure } from '../../error.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { asArgument } from '../names.ts'
import { type Source, withSource } from '../source.ts'
import type { StoredArrays, UnreadArray, UnreadArrays } from '../stored.ts'
import { openLegacy } from './legacy.ts'
import { type Chosen, chosen, stateDict } from './state-dict.ts'
import { checkStorages, readTensors, type TorchContent, type TorchTensors, unreadTensors } from './stored.ts'
import { describe, isKind, quoted, type TorchValue } from './values.ts'
import { openZip } from './zip.ts'

export { stateDict } from './state-dict.ts'
export type { TorchTensors } from './stored.ts'
export * from './values.ts'

/** Chooses the tensors to read. */
export type Pick = (value: TorchValue, path: string) => Checked<TorchTensors>

const zipBegins = [0x50, 0x4b]

const opened = (source: Source): Effect<TorchContent> =>
  pipe(
    source.read(0, Math.min(source.size, zipBegins.length)),
    TE.flatMap((first) => (zipBegins.every((byte, i) => first[i] === byte) ? openZip(source) : openLegacy(source))),
  )

/** Everything but the tensors' data is read and checked. */
const checked = (source: Source): Effect<TorchContent> =>
  pipe(
    opened(source),
    TE.tap((content) => TE.fromEither(checkStorages(content))),
  )

const mostNamed = 12
const mostCode = 40
const listed = (names: readonly string[], most = mostNamed): string =>
  `${names.slice(0, most).map(printable).join(', ')}${names.length > most ? `, and ${names.length - most} more` : ''}`
const printable = (name: string): string => (/^[\w .:/-]+$/.test(name) ? name : quoted(name))

const remarksOn = ({ path, beside, passed, others }: Chosen, foreign: ReadonlySet<string>): readonly string[] => [
  ...(path === '' ? [] : [`read from ${printable(path)}`]),
  ...(beside.length === 0 ? [] : [`beside it, not read: ${listed(beside)}`]),
  ...(passed === 0 ? [] : [`${passed} whose names begin in another way, not read`]),
  ...(others.length === 0
    ? []
    : [
        `other tensors: ${others
          .map((o) => `${o.tensors} by --from ${asArgument(o.path)}`)
          .slice(0, mostNamed)
          .join(', ')}`,
      ]),
  ...(foreign.size === 0 ? [] : [`names of code, neither loaded nor executed: ${listed([...foreign], mostCode)}`]),
]

/** What is no tensor, where one could have been. */
const stranger = (path: string, name: string, value: TorchValue): UnreadArray => ({
  dtype: describe(value),
  shape: [],
  bytes: 0,
  read: TE.left([failure('file', `${path}: ${quoted(name)}`, 'a tensor', describe(value))]),
})

/**
 * Opens a file as `readTorch` reads one; of the tensors each is read when it is asked for. What is no tensor among them is there,
 * and cannot be read. `from` is the path of another dictionary than the model's. Errors: `file`, `usage`.
 */
export const openTorch = (
  source: Source,
  from?: string,
): Effect<{ readonly place: string; readonly arrays: UnreadArrays; readonly remarks: readonly string[] }> =>
  pipe(
    checked(source),
    TE.flatMapEither((content) =>
      pipe(
        E.Do,
        E.bind('choice', () => chosen(content.value, source.path, from)),
        E.let('entries', ({ choice }) =>
          [...choice.entries].map(
            ([name, value]) => [typeof name === 'string' ? name : describe(name), value] as const,
          ),
        ),
        E.bind('tensors', ({ entries }) =>
          unreadTensors(
            content,
            Object.fromEntries(entries.flatMap(([name, value]) => (isKind('tensor')(value) ? [[name, value]] : []))),
          ),
        ),
        E.map(({ choice, entries, tensors }) => ({
          place: choice.path,
          arrays: Object.fromEntries(
            entries.map(([name, value]) => [name, tensors[name] ?? stranger(source.path, name, value)]),
          ),
          remarks: remarksOn(choice, content.foreign),
        })),
      ),
    ),
  )

/**
 * Reads tensors of a file of `torch.save`, zip or legacy, and executes nothing of it. The whole file's structure is
 * checked first, then only the tensors that are picked are read. float16 and bfloat16 widen to float32, small integers
 * to int32. Limits: 256 MiB of pickle; what a single storage holds must fit one array of the JavaScript engine (4 GiB in
 * Node 20). Errors: `file`.
 *
 * ```ts
 * await readTorch('model.ckpt')() // { 'encoder.conv_in.weight': { dtype: 'float32', shape: [128, 3, 3, 3], data } }
 * ```
 */
export const readTorch = (path: string, pick: Pick = stateDict): Effect<StoredArrays> =>
  withSource(path, (source) =>
    pipe(
      checked(source),
      TE.flatMap((content) =>
        pipe(
          TE.fromEither(pick(content.value, path)),
          TE.flatMap((tensors) => readTensors(content, tensors)),
        ),
      ),
    ),
  )
