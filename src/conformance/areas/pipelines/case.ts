import { dirname, join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../../../error.ts'
import { floats, type Value, type Values } from '../../../execute/executor.ts'
import { readBytes } from '../../../io/bytes.ts'
import { readSafetensors } from '../../../io/safetensors-file.ts'
import type { StoredArrays } from '../../../io/stored.ts'
import { E, pipe, TE, t } from '../../../prelude.ts'
import { type CaseFile, toValue } from '../../case.ts'
import type { Tolerance } from '../../compare.ts'
import { parsePythonJson } from '../../python-json.ts'

/** A folder of a model, what was asked of it, and what the references drew. */

export type Json = Readonly<Record<string, unknown>>
export const isJson = t.UnknownRecord.is

const Limits = t.type({ embeddings: t.number, latents: t.number, decoded: t.number })
const Document = t.intersection([t.UnknownRecord, t.type({ kind: t.string, tolerance: Limits })])
const Run = t.intersection([t.UnknownRecord, t.type({ name: t.string })])
export type Run = t.TypeOf<typeof Run>

export interface PipelineCase {
  readonly file: CaseFile
  readonly folder: string
  readonly document: Json
  readonly kind: string
  readonly runs: readonly Run[]
  readonly tensors: StoredArrays
  readonly tolerances: readonly Tolerance[]
}

/** Wholes must be met; of the pictures one value in a hundred may be one apart. */
const tolerancesOf = ({ embeddings, latents, decoded }: t.TypeOf<typeof Limits>): readonly Tolerance[] => [
  {
    tensor: /out\.(ids|ids_negative|unet_t|ddim_timesteps|indices|unet_time_ids|left_over|parse)\b/,
    measure: 'exact',
    limit: 0,
  },
  { tensor: /out\.image\b/, measure: 'bytes', limit: 0.01 },
  { tensor: /out\.(timesteps|scheduler_timesteps|sigmas|ddim_\w+|weights)\b/, measure: 'scaled', limit: 1e-6 },
  {
    tensor: /out\.(embeds|embeds_negative|embeds_all|pooled|pooled_negative|unet_text_embeds)\b/,
    measure: 'scaled',
    limit: embeddings,
  },
  {
    tensor: /out\.(decoded|decoded_mode|composed|reconstruction|encode_in|control_)/,
    measure: 'scaled',
    limit: decoded,
  },
  { tensor: /out\./, measure: 'scaled', limit: latents },
]

/** Reads JSON as Python writes it. Errors: `file`. */
export const readJson = (path: string): Effect<unknown> =>
  pipe(
    readBytes(path),
    TE.flatMapEither((bytes) => parsePythonJson(new TextDecoder().decode(bytes), path)),
  )

export const readPipelineCase = (file: CaseFile): Effect<PipelineCase> =>
  effect(async (run) => {
    const folder = dirname(file.path)
    const document = await run(readJson(file.path))
    if (!Document.is(document))
      return run(TE.fromEither(fail('file', file.path, 'an object with "kind" and "tolerance"', 'another')))
    const { tensors } = await run(readSafetensors(join(folder, 'case.safetensors')))
    const runs = Array.isArray(document.runs) ? document.runs.filter(Run.is) : []
    return {
      file,
      folder,
      document,
      kind: document.kind,
      runs,
      tensors,
      tolerances: tolerancesOf(document.tolerance),
    }
  })

/** What is expected: everything that came out. */
export const expectedOf = ({ tensors }: PipelineCase): StoredArrays =>
  Object.fromEntries(Object.entries(tensors).filter(([name]) => /(^|\/)out\./.test(name)))

const inputPrefix = (run: string): string => (run === '' ? 'in.' : `${run}/in.`)
/** What goes into a run, or into a case without runs, by the name behind `in.`. */
export const inputsOf = ({ tensors }: PipelineCase, run: string): Values =>
  Object.fromEntries(
    Object.entries(tensors).flatMap(([name, array]) =>
      name.startsWith(inputPrefix(run)) ? [[name.slice(inputPrefix(run).length), toValue(array)] as const] : [],
    ),
  )

/** Arrays that were seen one after the other. */
export interface Seen {
  readonly see: (name: string, value: Value) => void
  readonly all: (name: string) => readonly Value[]
  readonly first: (name: string) => Value | undefined
}
export const watching = (): Seen => {
  const found = new Map<string, Value[]>()
  return {
    see: (name, value) => {
      const list = found.get(name) ?? []
      list.push(value)
      found.set(name, list)
    },
    all: (name) => found.get(name) ?? [],
    first: (name) => found.get(name)?.[0],
  }
}

/** Arrays of one shape under each other. */
export const together = (parts: readonly Value[]): Value =>
  floats(
    [parts.length, ...(parts[0]?.shape ?? [])],
    Float64Array.from(parts.flatMap(({ data }) => Array.from(data, Number))),
  )

/** Only what is there. */
export const present = (values: Readonly<Record<string, Value | undefined>>): Values =>
  Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

/** Keys that nobody reads must not be there. */
export const heeded = (place: string, found: Json, known: readonly string[]): Checked<unknown> => {
  const unknown = Object.keys(found).filter((key) => !known.includes(key) && found[key] !== null)
  return unknown.length === 0 ? E.right(found) : fail('data', place, known.join(' | '), unknown.join(', '))
}

export const numberIn = (j: Json, key: string, otherwise: number): number => {
  const found = j[key]
  return typeof found === 'number' ? found : otherwise
}
export const textIn = (j: Json, key: string): string | undefined => {
  const found = j[key]
  return typeof found === 'string' ? found : undefined
}
export const listIn = <A>(j: Json, key: string, is: (u: unknown) => u is A): readonly A[] | undefined => {
  const found = j[key]
  return Array.isArray(found) && found.every(is) ? found : undefined
}
export const isNumber = (u: unknown): u is number => typeof u === 'number'
export const isText = (u: unknown): u is string => typeof u === 'string'
