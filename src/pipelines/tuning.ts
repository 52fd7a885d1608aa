import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import { type Completion, loadExperiment } from '../experiment/load.ts'
import { asWritten, isTuning, type TunedModel, tunedExperiment, tuning } from '../experiment/tuning.ts'
import { identity, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { withOwnTexts } from './held-texts.ts'
import { isPublishedRun } from './run-files.ts'
import { publishedModel } from './tuned.ts'

/** Experiments that say only what is trained beside a model that is there. */

/** What of an experiment is that of another run. Errors: those of loading it; `config`, a run without a diffusion model. */
const ownModel = (dir: string): Effect<TunedModel> =>
  effect(async (run) => {
    const { firstStage, diffusion, sampling } = await run(loadExperiment(join(dir, 'experiment.json')))
    return diffusion === undefined
      ? run(TE.fromEither(fail('config', '/adapter/of', 'a run with a diffusion model', `${dir}, without one`)))
      : { firstStage, diffusion, sampling }
  })

/** The whole experiment of a document that is one of those; of others the text encoders that they name. Errors: `config`, `file`. */
export const completed = (document: unknown, folder = '.'): ReturnType<Completion> =>
  effect(async (run) => {
    if (!isTuning(document)) return { document: await run(withOwnTexts(document, folder)), asWritten: identity }
    const t = await run(TE.fromEither(decode(tuning)(document)))
    const { of } = t.adapter
    if (of === undefined || !existsSync(of))
      return run(
        TE.fromEither(
          fail(
            'config',
            '/adapter/of',
            'the folder of a published model that was imported, or of a run, named from the working folder',
            of === undefined ? 'nothing' : `${of}, which is not there`,
          ),
        ),
      )
    const tuned = { size: t.data.size, dropout: t.dropout, adapter: t.adapter }
    const model = (await isPublishedRun(of)) ? await run(publishedModel(of, tuned)) : await run(ownModel(of))
    return { document: tunedExperiment(t, model), asWritten }
  })
