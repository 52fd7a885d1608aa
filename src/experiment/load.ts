import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type Checked, collect, type Effect, type Errors, effect, failure } from '../error.ts'
import { decodeGraph } from '../graph/codec.ts'
import type { Graph } from '../graph/graph.ts'
import { readBytes } from '../io/bytes.ts'
import { asArgument } from '../io/names.ts'
import { E, identity, pipe, RNEA, TE } from '../prelude.ts'
import { type PublishedModel, publishedModel } from '../published/document.ts'
import { decode } from '../schema.ts'
import { decodeExperiment } from './decode.ts'
import type { Diffusion, Experiment, FirstStage } from './document.ts'
import { importCompVis, isCompVis } from './import/compvis.ts'
import { parseJsonText } from './json-text.ts'
import { isYaml, lined } from './lines.ts'
import { applySettings, parseSetting } from './settings.ts'
import { parseYamlText } from './yaml-text.ts'

const conditionIn = (folder: string, stage: FirstStage): FirstStage => {
  const { adversarial } = stage
  const condition = adversarial?.condition
  return adversarial === undefined || condition?.kind !== 'label-map'
    ? stage
    : { ...stage, adversarial: { ...adversarial, condition: { ...condition, path: resolve(folder, condition.path) } } }
}

/** Of a condition: what lies somewhere. */
const placedFields: readonly string[] = ['path', 'from', 'tokenizer']
const toldIn = (folder: string, diffusion: Diffusion): Diffusion => {
  const { conditioning, adapter } = diffusion
  const placed = <C extends object>(c: C): C => ({
    ...c,
    ...Object.fromEntries(
      Object.entries(c).flatMap(([field, value]) =>
        placedFields.includes(field) && typeof value === 'string' ? [[field, resolve(folder, value)]] : [],
      ),
    ),
  })
  return {
    ...diffusion,
    ...(adapter?.kind === 'controlnet' ? { adapter: { ...adapter, hints: resolve(folder, adapter.hints) } } : {}),
    conditioning:
      conditioning.kind === 'hybrid'
        ? { ...conditioning, told: placed(conditioning.told), beside: placed(conditioning.beside) }
        : placed(conditioning),
  }
}

/** Folders of pictures are named relative to the experiment's file. */
const relativeTo =
  (folder: string) =>
  (e: Experiment): Experiment => ({
    ...e,
    data: 'path' in e.data ? { ...e.data, path: resolve(folder, e.data.path) } : e.data,
    firstStage: e.firstStage.kind === 'identity' ? e.firstStage : conditionIn(folder, e.firstStage),
    ...(e.diffusion === undefined ? {} : { diffusion: toldIn(folder, e.diffusion) }),
  })

const kindOf = (path: string): Promise<'file' | 'folder' | 'nothing'> =>
  stat(path).then(
    (found) => (found.isDirectory() ? 'folder' : 'file'),
    () => 'nothing',
  )

/** The file that a path stands for: of a run's folder, where such may be given, the experiment in it. Errors: `file`. */
const fileOf = (
  path: string,
  { expected, runs }: { readonly expected: string; readonly runs: boolean },
): Effect<string> =>
  effect(async (run) => {
    if ((await kindOf(path)) !== 'folder') return path
    const inside = join(path, 'experiment.json')
    const holdsRun = (await kindOf(inside)) === 'file'
    if (runs && holdsRun) return inside
    const got = holdsRun ? 'the folder of a run' : 'a folder without experiment.json'
    const hint = holdsRun ? `the experiment of that run: ${asArgument(inside)}` : undefined
    return run(TE.left([failure('file', path, expected, got, hint)]))
  })

/** How a file is read: by its name, YAML or JSON. */
const parseText = (path: string): typeof parseJsonText => (isYaml(path) ? parseYamlText : parseJsonText)

type Place = (errors: Errors) => Errors
interface Loaded {
  readonly document: unknown
  /** Errors at its pointers with the lines of the file. */
  readonly onLines: Place
}

/** A file as the value that it says, changed by `/json/pointer=value` settings. */
const loadDocument = (path: string, sets: readonly string[]): Effect<Loaded> =>
  pipe(
    TE.fromEither(collect(sets.map(parseSetting))),
    TE.bindTo('settings'),
    TE.bind('text', () =>
      pipe(
        readBytes(path),
        TE.map((bytes) => new TextDecoder().decode(bytes)),
      ),
    ),
    TE.flatMapEither(({ settings, text }) => {
      const set = settings.map(({ pointer }) => pointer)
      return pipe(
        parseText(path)(text, path),
        E.flatMap(applySettings(settings)),
        E.map((document) => ({ document, onLines: lined(path, text, set) })),
      )
    }),
  )

/** A document that says only a part of an experiment, as the whole; and pointers into that as the document has them. */
export interface Whole {
  readonly document: unknown
  /** Undefined of what is not the document's. */
  readonly asWritten: (pointer: string) => string | undefined
}
/** Makes documents whole that say what is trained beside a model that is there, or told by its encoders; the folder is that of the document. */
export type Completion = (document: unknown, folder: string) => Effect<Whole>
const asItIs: Completion = (document) => TE.right({ document, asWritten: identity })

/** A hint with options as a file has the fields that they set, and without those that set none of its fields. */
const hintBy = (asWritten: Whole['asWritten'], hint: string): string =>
  hint
    .replace(/--set ('?)(\/[^\s=']+)((?:[^\s'"]|"[^"]*")*'?)( ?)/g, (_, quote, pointer, value, space) => {
      const place = asWritten(pointer)
      return place === undefined ? '' : `--set ${quote}${place}${value}${space}`
    })
    .trim()

/** Errors at pointers as a file has them. */
export const placedBy = (asWritten: Whole['asWritten']): ((errors: Errors) => Errors) =>
  RNEA.map(({ hint, ...e }) => {
    const way = hint && hintBy(asWritten, hint)
    return { ...e, at: asWritten(e.at) ?? e.at, ...(way === undefined || way === '' ? {} : { hint: way }) }
  })

/** An experiment, and its faults as its file has them. */
export interface Written {
  readonly experiment: Experiment
  /** Errors at pointers into the experiment as those into its file, with their lines. */
  readonly placed: Place
}

const experimentOf =
  (path: string, onLines: Place): ((whole: Whole) => Checked<Written>) =>
  ({ document, asWritten }) => {
    const placed: Place = (errors) => onLines(placedBy(asWritten)(errors))
    return pipe(
      decodeExperiment(document),
      E.map((e) => ({ experiment: relativeTo(dirname(path))(e), placed })),
      E.mapLeft(placed),
    )
  }

/** As `loadExperiment`, of documents that may be completed. */
export const loadWritten = (
  path: string,
  sets: readonly string[] = [],
  complete: Completion = asItIs,
): Effect<Written> =>
  pipe(
    fileOf(path, { expected: 'the file of an experiment', runs: false }),
    TE.flatMap((file) =>
      pipe(
        loadDocument(file, sets),
        TE.flatMap(({ document, onLines }) =>
          pipe(complete(document, dirname(file)), TE.mapLeft(onLines), TE.flatMapEither(experimentOf(file, onLines))),
        ),
      ),
    ),
  )

/**
 * Reads an experiment's file, applies `/json/pointer=value` settings, checks every field and how they fit. Relative
 * paths in it are resolved against its folder. Errors: `file`, `usage`, `config`.
 */
export const loadExperiment = (path: string, sets: readonly string[] = []): Effect<Experiment> =>
  pipe(
    loadWritten(path, sets),
    TE.map(({ experiment }) => experiment),
  )

/** What a file may declare: an experiment, a published model, ours or as CompVis writes it, or a graph as `encodeGraph` gives it. */
export type Declaration =
  | ({ readonly kind: 'experiment' } & Written)
  | { readonly kind: 'published'; readonly model: PublishedModel }
  | { readonly kind: 'graph'; readonly graph: Graph }

const published: (model: PublishedModel) => Declaration = (model) => ({ kind: 'published', model })
const has = (u: unknown, key: string): boolean => typeof u === 'object' && u !== null && key in u

/**
 * Reads a file of any kind, which its keys tell apart, as `loadExperiment` does, or the experiment of a run's folder. Errors:
 * `file`, `usage`, `config`, `graph`.
 */
export const loadDeclaration = (
  path: string,
  sets: readonly string[] = [],
  complete: Completion = asItIs,
): Effect<Declaration> =>
  pipe(
    fileOf(path, { expected: 'the file of an experiment or a model, or the folder of a run', runs: true }),
    TE.flatMap((file) =>
      pipe(
        loadDocument(file, sets),
        TE.flatMap(
          ({ document, onLines }): Effect<Declaration> =>
            isCompVis(document)
              ? TE.fromEither(pipe(importCompVis(document), E.map(published)))
              : has(document, 'autoencoder')
                ? TE.fromEither(pipe(document, decode(publishedModel), E.bimap(onLines, published)))
                : has(document, 'nodes')
                  ? TE.fromEither(
                      pipe(
                        decodeGraph(document),
                        E.map((graph) => ({ kind: 'graph', graph })),
                      ),
                    )
                  : pipe(
                      complete(document, dirname(file)),
                      TE.mapLeft(onLines),
                      TE.flatMapEither(experimentOf(file, onLines)),
                      TE.map((written) => ({ kind: 'experiment', ...written })),
                    ),
        ),
      ),
    ),
  )
