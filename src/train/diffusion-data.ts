import type { Dataset } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import type { Diffusion, Experiment } from '../experiment/document.ts'
import { diffusedOf, latentScaleOf } from '../experiment/space.ts'
import { showShape } from '../graph/types.ts'
import { TE } from '../prelude.ts'
import type { Words } from '../text/learnt.ts'
import type { TextReader } from '../text/prompt.ts'
import { encodeCaptions, type ToldAhead } from './captions-ahead.ts'
import type { Parted } from './data.ts'
import { picturesOf } from './data.ts'
import { doing, note } from './events.ts'
import { encodeHeldOut, encodeLatents, type Learnt } from './latents.ts'
import type { Base, HeldTexts, RunOptions } from './options.ts'
import type { Plan } from './plan.ts'
import { tokensOf, wordsOf } from './texts.ts'

/** What the diffusion stage of a run is trained on. */
export interface DiffusionData {
  /** What latents are multiplied by. */
  readonly scale: number
  readonly learnt: Learnt
  readonly heldOut: Learnt
  /** Where the model reads captions. */
  readonly words: Words | undefined
  readonly tokens: TextReader | undefined
  readonly close: () => Promise<void>
}

export interface DiffusionBeside {
  readonly config: Diffusion
  readonly stage: NonNullable<Plan['diffusion']>
  readonly data: Parted
  /** Weights of a trained first stage. */
  readonly firstStage: Values
  readonly base: Base | undefined
  readonly texts: HeldTexts | undefined
  /** Where latents are put meanwhile. */
  readonly dir: string
}

/** What all that train together multiply latents by, as rank 0 has measured it. */
const agreed = ({ leads, follows }: RunOptions, measured: number): Effect<number> =>
  effect(async (run) => {
    leads?.say({ kind: 'encoded', scale: measured })
    const said = follows === undefined ? undefined : await run(follows.hear)
    return said?.kind === 'encoded' ? said.scale : measured
  })

/** Encodes pictures and captions. Errors: `run`, `file`, `training`. */
export const diffusionData = (
  e: Experiment,
  o: RunOptions,
  { config, stage, data, firstStage, base, texts, dir }: DiffusionBeside,
): Effect<DiffusionData> =>
  effect(async (run) => {
    const { tell, executor } = o
    const { model } = stage
    await run(tell(doing('encoding the pictures')))
    const encoding = { executor, state: firstStage, seed: e.seed, dir }
    const options = {
      latents: config.latents,
      latentScale: base === undefined ? latentScaleOf(e) : { kind: 'fixed' as const, value: base.scale },
    }
    const encoded = await run(encodeLatents(diffusedOf(e), encoding, options, picturesOf(data.train)))
    const scale = await run(agreed(o, encoded.scale))
    const what = model.encodes === 'identity' ? 'pictures, not encoded' : 'latents'
    await run(tell(note(`${what}: ${showShape(model.latent)}, multiplied by ${scale.toFixed(4)}`)))
    const words = base?.words ?? wordsOf(model.conditioner, data.train)
    const tokens = base?.tokens ?? texts?.tokens ?? (await run(TE.fromEither(tokensOf(model.conditioner, words))))
    const heldOut = await run(encodeHeldOut(diffusedOf(e), encoding, config, data.heldOut))
    const weights = base?.diffusion ?? texts?.weights ?? {}
    const told = (of: Dataset): Effect<ToldAhead | undefined> =>
      tokens === undefined || model.conditioner.learntAhead === undefined
        ? TE.right(undefined)
        : encodeCaptions(executor, model, weights, { tokens, data: of, dir })
    if (model.conditioner.learntAhead !== undefined) await run(tell(doing('encoding the captions')))
    const [learntTold, heldOutTold] = [await run(told(data.train)), await run(told(heldOut.data))]
    return {
      ...{ scale, words, tokens },
      learnt: { moments: encoded, data: data.train, ...(learntTold === undefined ? {} : { told: learntTold }) },
      heldOut: { ...heldOut, ...(heldOutTold === undefined ? {} : { told: heldOutTold }) },
      close: async () => {
        for (const open of [encoded, learntTold, heldOutTold]) await open?.close()
      },
    }
  })
