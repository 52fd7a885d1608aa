import { type Checked, type Effect, type Errors, fail, failure } from '../error.ts'
import type { Value } from '../execute/executor.ts'
import { readBytes } from '../io/bytes.ts'
import { parseSafetensors, type TensorFile } from '../io/safetensors.ts'
import type { StoredArray, StoredArrays } from '../io/stored.ts'
import { E, pipe, RR, TE, t } from '../prelude.ts'
import { parsePythonJson } from './python-json.ts'

/** A file of a fixture folder, before anything in it is believed. */
export interface CaseFile {
  readonly area: string
  readonly file: string
  readonly path: string
  /** What the area's `index.json` says of it. */
  readonly verdict?: unknown
}

/** One case: what the reference was given, and what it computed. */
export interface Case {
  readonly file: CaseFile
  /** Repository, file and class of the reference. */
  readonly source: string
  readonly config: Readonly<Record<string, unknown>>
  /** `in.*`, without the prefix. */
  readonly inputs: StoredArrays
  /** `param.*`, without the prefix. */
  readonly params: StoredArrays
  /** Everything else, under its full name. */
  readonly expected: StoredArrays
  readonly float32Errors: Float32Errors
}

/** How far the reference's float32 is from its own float64: by name, the greatest difference, and that over the greatest value. */
export type Float32Errors = Readonly<Record<string, readonly [absolute: number, scaled: number]>>
const Float32Error = t.readonly(t.tuple([t.number, t.number]))
const Names = t.record(t.string, t.unknown)
/** What of `f64_maxdiff` is a pair of numbers; a value of zeros has no second. */
const float32Errors = (found: unknown): Float32Errors =>
  pipe(
    Names.is(found) ? found : {},
    RR.filter((x: unknown): x is readonly [number, number] => Float32Error.is(x) && x.every(Number.isFinite)),
  )

/** An array of a file as an executor takes it; int64 narrows to int32. */
export const toValue = (array: StoredArray): Value => {
  const { shape } = array
  if (array.dtype === 'float32' || array.dtype === 'float64') return { dtype: 'float32', shape, data: array.data }
  if (array.dtype === 'int64') return { dtype: 'int32', shape, data: Int32Array.from(array.data, Number) }
  return array.dtype === 'int32'
    ? { dtype: 'int32', shape, data: array.data }
    : { dtype: 'bool', shape, data: array.data }
}

const under =
  (prefix: string) =>
  (tensors: StoredArrays): StoredArrays =>
    Object.fromEntries(
      Object.entries(tensors).flatMap(([name, array]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), array]] : [],
      ),
    )

const caseOfTensors =
  (file: CaseFile) =>
  ({ metadata, tensors }: TensorFile): Checked<Case> =>
    pipe(
      E.Do,
      E.bind('config', () =>
        pipe(
          parsePythonJson(metadata.config ?? '{}', `${file.path}: config`),
          E.filterOrElse(
            t.UnknownRecord.is,
            (got): Errors => [failure('file', `${file.path}: config`, 'an object', String(got))],
          ),
        ),
      ),
      E.bind('errors', () => parsePythonJson(metadata.f64_maxdiff ?? '{}', `${file.path}: f64_maxdiff`)),
      E.map(({ config, errors }) => ({
        file,
        source: metadata.source ?? '',
        config,
        inputs: under('in.')(tensors),
        params: under('param.')(tensors),
        expected: pipe(
          tensors,
          RR.filterWithIndex((name) => !name.startsWith('in.') && !name.startsWith('param.')),
        ),
        float32Errors: float32Errors(errors),
      })),
    )

const Document = t.intersection([t.UnknownRecord, t.type({ source: t.string })])

/** A `.json` case: the document is its configuration, and its adapter knows what it expects. */
const caseOfDocument =
  (file: CaseFile) =>
  (document: unknown): Checked<Case> =>
    Document.is(document)
      ? E.right({
          file,
          source: document.source,
          config: document,
          inputs: {},
          params: {},
          expected: {},
          float32Errors: {},
        })
      : fail('file', file.path, 'an object with a "source"', JSON.stringify(document).slice(0, 80))

/** Reads a `.safetensors` or `.json` case. Errors: `file`. */
export const readCase = (file: CaseFile): Effect<Case> =>
  pipe(
    readBytes(file.path),
    TE.flatMapEither((bytes) =>
      file.file.endsWith('.json')
        ? pipe(parsePythonJson(new TextDecoder().decode(bytes), file.path), E.flatMap(caseOfDocument(file)))
        : pipe(parseSafetensors(bytes, file.path), E.flatMap(caseOfTensors(file))),
    ),
  )

/**
 * The class or function of the reference that a source names first, behind its file:
 * `CompVis/latent-diffusion ldm/modules/attention.py CrossAttention` is `attention.py CrossAttention`.
 */
export const subjectOf = (source: string): string => {
  const [, file, symbol] = /([\w-]+\.py)(?:\s+([A-Za-z_][\w.]*))?/.exec(source) ?? []
  return file === undefined ? (/torch\.[\w.]+/.exec(source)?.[0] ?? source) : [file, symbol].filter(Boolean).join(' ')
}
