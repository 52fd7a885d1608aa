import { dirname, resolve } from 'node:path'
import { type Checked, collect, type Effect } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { E, flow, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { crossChecks } from './cross-checks.ts'
import { type Experiment, experiment } from './document.ts'
import { parseJsonText } from './json-text.ts'
import { applySettings, parseSetting } from './settings.ts'

/** Folders of pictures are named relative to the experiment's file. */
const relativeTo =
  (folder: string) =>
  (e: Experiment): Experiment =>
    e.data.kind === 'folder' ? { ...e, data: { ...e.data, path: resolve(folder, e.data.path) } } : e

/** An experiment from the value of a JSON document. Errors: `config`, every one with its JSON pointer. */
export const decodeExperiment: (document: unknown) => Checked<Experiment> = flow(
  decode(experiment),
  E.flatMap(crossChecks),
)

/**
 * Reads an experiment's file, applies `/json/pointer=value` settings, checks every field and how they fit. Relative
 * paths in it are resolved against its folder. Errors: `file`, `usage`, `config`.
 */
export const loadExperiment = (path: string, sets: readonly string[] = []): Effect<Experiment> =>
  pipe(
    TE.fromEither(collect(sets.map(parseSetting))),
    TE.bindTo('settings'),
    TE.bind('bytes', () => readBytes(path)),
    TE.flatMapEither(({ settings, bytes }) =>
      pipe(parseJsonText(new TextDecoder().decode(bytes), path), E.flatMap(applySettings(settings))),
    ),
    TE.flatMapEither(decodeExperiment),
    TE.map(relativeTo(dirname(path))),
  )
