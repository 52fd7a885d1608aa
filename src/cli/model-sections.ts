import { type Effect, effect } from '../error.ts'
import { aheadProgram } from '../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { reconstructionGraph } from '../experiment/first-stage.ts'
import type { Declaration } from '../experiment/load.ts'
import type { Graph } from '../graph/graph.ts'
import { pipe, TE } from '../prelude.ts'
import { classesOf } from './check.ts'

/** A network of a declaration, as it is asked of one picture. */
export interface Section {
  readonly section: string
  readonly graph: Graph
}
export interface Sections {
  readonly sections: readonly Section[]
  /** What of it is not built here. */
  readonly missing: readonly string[]
}

/** The first stage from pictures to pictures, what the U-Net says of one picture, and what is encoded once before. */
const ofExperiment = (e: Experiment): Effect<Sections> =>
  effect(async (run) => {
    const { denoiserGraph } = await import('../train/portable/networks.ts')
    const { planExperiment } = await import('../train/plan.ts')
    const { diffusion } = await run(TE.fromEither(planExperiment(e, await run(classesOf(e)))))
    const stage = autoencoderOf(e)
    const sections: Section[] = []
    const add = async (section: string, graph: ReturnType<typeof reconstructionGraph> | undefined): Promise<void> => {
      if (graph !== undefined) sections.push({ section, graph: await run(TE.fromEither(graph)) })
    }
    if (stage !== undefined) await add(diffusion === undefined ? 'model' : 'first_stage', reconstructionGraph(stage, 1))
    if (diffusion !== undefined) {
      const { model } = diffusion
      await add('cond_stage', aheadProgram(model, 1))
      await add('unet', denoiserGraph(model, e.sampling))
    }
    return { sections, missing: [] }
  })

/** The networks of what a file or a run's folder declares. Errors: `config`, `shape`, `data`, `file`. */
export const sectionsOf = (declared: Declaration): Effect<Sections> => {
  if (declared.kind === 'experiment') return pipe(ofExperiment(declared.experiment), TE.mapLeft(declared.placed))
  if (declared.kind === 'graph')
    return TE.right({ sections: [{ section: 'graph', graph: declared.graph }], missing: [] })
  const { model } = declared
  return effect(async (run) => {
    const { modelSections } = await import('../published/document.ts')
    const stage = model.conditioning
    return {
      sections: await run(TE.fromEither(modelSections(model))),
      missing: stage?.kind === 'notBuilt' ? [`cond_stage: not built, ${stage.target}`] : [],
    }
  })
}
