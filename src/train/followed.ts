import { tmpdir } from 'node:os'
import { type Effect, effect } from '../error.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { E, TE } from '../prelude.ts'
import { baseOf, beginsOf, heldTextsOf } from './base.ts'
import { dataFacts, showDataFacts } from './data-facts.ts'
import { trainDiffusion } from './diffusion.ts'
import { diffusionData } from './diffusion-data.ts'
import { trainFirstStage } from './first-stage.ts'
import type { OpenedStage } from './opening.ts'
import type { RunOptions } from './options.ts'
import { perceptualWeights } from './perceptual-weights.ts'
import type { StagePlan } from './plan.ts'
import { prepare } from './prepare.ts'
import type { Follower } from './ranks.ts'
import { stopped } from './stop.ts'

/** A stage whose state another process says. */
const unopened = <S extends StagePlan>(stage: S): OpenedStage<S> => ({
  stage,
  identity: {},
  standingBelow: () => TE.right({ passed: [] }),
  replan: () => E.right(undefined),
})

/**
 * Trains an experiment with rank 0, whose run it is: takes its steps, and writes nothing. Errors: those of the data and the graphs;
 * `training`, another experiment or other pictures than rank 0 has; `run`, a rank has gone; `stopped`.
 */
export const followExperiment = (
  e: Experiment,
  given: Pick<RunOptions, 'executor' | 'own' | 'openBase' | 'openTexts'> & { readonly follows: Follower },
): Effect<void> =>
  effect(async (run) => {
    const { follows } = given
    // Latents lie in a file without a name meanwhile.
    const dir = tmpdir()
    const o = {
      ...{ ...given, dir, resume: false, stopping: () => false, tell: () => TE.right(undefined) },
      owned: { dir, held: TE.right(undefined) },
    }
    const base = await run(baseOf(e, o))
    const texts = await run(heldTextsOf(e, o))
    await run(follows.same('the experiment', JSON.stringify(e)))
    const { dataset, data, plan } = await run(prepare(e, o.executor.name, o.own))
    await run(follows.same('the pictures', showDataFacts(dataFacts(dataset))))
    const autoencoder = autoencoderOf(e)
    const trainsFirst = base === undefined && autoencoder !== undefined && plan.firstStage !== undefined
    const firstStage = trainsFirst
      ? await run(
          trainFirstStage(e, o, {
            ...{ opened: unopened(plan.firstStage), autoencoder, data },
            constants: await run(perceptualWeights(autoencoder, plan.firstStage.step)),
          }),
        )
      : (base?.firstStage ?? {})
    if (plan.diffusion !== undefined && e.diffusion !== undefined) {
      const { diffusion: stage } = plan
      const { close, ...learning } = await run(
        diffusionData(e, o, { ...{ config: e.diffusion, stage, data, base, texts, dir }, firstStage }),
      )
      const trained = await trainDiffusion(e, o, {
        ...learning,
        ...{ opened: unopened(stage), training: e.diffusion.training, shown: data.heldOut, firstStage },
        base: base?.diffusion ?? texts?.weights ?? {},
        ...(base === undefined ? {} : { begins: beginsOf(base, Object.keys(stage.step.leaves)) }),
      })().finally(close)
      await run(TE.fromEither(trained))
    }
    const last = await run(follows.hear)
    if (last.kind === 'over' && last.how === 'stopped') await run(TE.left([stopped()]))
  })
