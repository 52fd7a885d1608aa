import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import type { Shape } from '../graph/types.ts'
import { readBytes } from '../io/bytes.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type Chosen, openFirstStage, openRun } from '../run/trained-run.ts'
import { decode, didYouMean } from '../schema.ts'
import { loadData, type Parted, parted } from '../train/data.ts'
import { dataFacts, parseDataFacts, sameData } from '../train/data-facts.ts'
import {
  type Evaluated,
  type Evaluation,
  type Extractor,
  evaluation,
  firstStageExtractor,
  networkExtractor,
  pixelExtractor,
} from '../train/evaluation/index.ts'
import { dataFile } from '../train/opening.ts'

/** What `evaluate` opens: the run, its pictures, what they are compared by, another evaluation. */

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

/** The evaluation in a file, or in a run's folder. Errors: `file`. */
export const readEvaluation = (path: string): Effect<{ readonly path: string; readonly evaluation: Evaluation }> =>
  effect(async (run) => {
    const file = (await isFolder(path)) ? join(path, 'evaluation.json') : path
    const text = new TextDecoder().decode(await run(readBytes(file)))
    const found = pipe(parseJsonText(text, file), E.flatMap(decode(evaluation, { tag: 'file', base: file })))
    return { path: file, evaluation: await run(TE.fromEither(found)) }
  })

/** How many classes the pictures of a run have. */
const classesIn = (dir: string): Effect<number> =>
  effect(async (run) => {
    const path = dataFile(dir)
    if (!existsSync(path)) return 0
    const text = new TextDecoder().decode(await run(readBytes(path)))
    return (await run(TE.fromEither(parseDataFacts(text, path)))).classes.length
  })

/** What `--features` names: colours, the run's own first stage, another run's, a network in a file. Errors: `usage`, `file`. */
const extractorFor = (own: string, name: string, shape: Shape): Effect<Extractor> =>
  effect(async (run) => {
    if (name === 'pixels') return pixelExtractor(shape)
    const dir = name === 'first-stage' ? own : name
    if (name !== 'first-stage' && !existsSync(name))
      return run(
        TE.left([
          failure(
            'usage',
            '--features',
            'pixels, first-stage, the folder of a run, or a file with the weights of a network',
            `"${name}", which is not there`,
            didYouMean(name, ['pixels', 'first-stage']),
          ),
        ]),
      )
    if (name !== 'first-stage' && !(await isFolder(name))) return run(networkExtractor(name, shape))
    const { autoencoder, state } = await run(openFirstStage(dir, await run(classesIn(dir))))
    return run(
      TE.fromEither(
        firstStageExtractor(
          name === 'first-stage' ? name : `first-stage of ${name}`,
          { stage: autoencoder, state },
          shape,
        ),
      ),
    )
  })

/** Pictures are compared with those that the run was trained on, and no others. Errors: `data`, `file`. */
const dataOf = (dir: string, e: Experiment): Effect<Parted> =>
  effect(async (run) => {
    const dataset = await run(loadData(e))
    const path = dataFile(dir)
    if (existsSync(path)) {
      const was = await run(TE.fromEither(parseDataFacts(new TextDecoder().decode(await run(readBytes(path))), path)))
      await run(TE.fromEither(sameData('path' in e.data ? e.data.path : e.data.kind, was, dataFacts(dataset))))
    }
    return run(TE.fromEither(parted(e, dataset)))
  })

/** The networks of a run and its pictures, and what these are compared by. Errors: `file`, `data`, `config`, `training`, `usage`. */
export const openEvaluated = (
  dir: string,
  experiment: Experiment,
  { names, checkpoint: chosen }: { readonly names: readonly string[]; readonly checkpoint?: Chosen | undefined },
): Effect<{ readonly evaluated: Evaluated; readonly extractors: readonly Extractor[] }> =>
  effect(async (run) => {
    const data = await run(dataOf(dir, experiment))
    const shape = [data.train.channels, data.train.height, data.train.width]
    const extractors: Extractor[] = []
    for (const name of names) extractors.push(await run(extractorFor(dir, name, shape)))
    const twice = extractors.find(({ name }, i) => extractors.findIndex((e) => e.name === name) !== i)
    if (twice !== undefined)
      return run(TE.left([failure('usage', '--features', 'each extractor once', `${twice.name} twice`)]))
    if (experiment.diffusion === undefined) {
      const { state, checkpoint } = await run(openFirstStage(dir, data.train.classes.length))
      return { extractors, evaluated: { experiment, data, firstStage: state, checkpoints: [checkpoint] } }
    }
    const opened = await run(openRun(dir, { checkpoint: chosen }))
    const { model, firstStage, diffusion: state, scale, tokens, checkpoints } = opened
    return {
      extractors,
      evaluated: {
        experiment,
        data,
        firstStage,
        checkpoints,
        diffusion: { model, state, scale, ...(tokens === undefined ? {} : { tokens }) },
      },
    }
  })
