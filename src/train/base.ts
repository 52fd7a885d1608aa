import { join } from 'node:path'
import {
  adapterFormats,
  adapterLeaf,
  type LowRank,
  type LowRanks,
  unetNetwork,
  writeAdapter,
} from '../adapters/index.ts'
import { type Effect, type Errors, effect, fail, failure } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { adapterName, isAdapters } from '../experiment/adapter.ts'
import type { LatentDiffusion } from '../experiment/diffusion-stage.ts'
import type { Experiment } from '../experiment/document.ts'
import { differ } from '../experiment/same.ts'
import type { Shape } from '../graph/types.ts'
import { TE } from '../prelude.ts'
import type { Base, RunOptions } from './options.ts'
import { groupOf } from './state.ts'

/** The run that an adapter is trained beside, and the files that come of it. */

/** What the model is, without how it is trained. */
const modelOf = ({ firstStage, diffusion }: Experiment): unknown => {
  const first =
    firstStage.kind === 'identity' ? firstStage : { ...firstStage, training: undefined, adversarial: undefined }
  if (diffusion === undefined) return { firstStage: first }
  const { unet, conditioning, schedule, predicts, variance, latents } = diffusion
  return { firstStage: first, diffusion: { unet, conditioning, schedule, predicts, variance, latents } }
}

/** The weights that a run draws with: averages in the places of what they are of. */
export const drawnWith = (state: Values): Values =>
  Object.fromEntries(
    Object.entries(state).flatMap(([name, value]) =>
      groupOf(name)[0] === 'parameters' ? [[name, state[`ema.shadow.${name}`] ?? value] as const] : [],
    ),
  )

/**
 * The run that an experiment's adapter is of; undefined where it has none. Errors: those of opening it; `config`, a run that is not named,
 * is of another model, or has an adapter itself.
 */
export const baseOf = (e: Experiment, { openBase }: Pick<RunOptions, 'openBase'>): Effect<Base | undefined> =>
  effect(async (run) => {
    const adapter = e.diffusion?.adapter
    if (adapter === undefined) return undefined
    const at = '/diffusion/adapter/of'
    if (adapter.of === undefined || openBase === undefined)
      return run(
        TE.fromEither(
          fail(
            'config',
            at,
            'the folder of the run or published model whose weights stay as they are',
            adapter.of === undefined ? 'nothing' : 'nothing that opens it',
            '--set /diffusion/adapter/of=runs/emoji',
          ),
        ),
      )
    const base = await run(openBase(adapter.of, e))
    if (base.experiment.diffusion?.adapter !== undefined)
      return run(TE.fromEither(fail('config', at, 'a run without an adapter', `${adapter.of}, which has one`)))
    const [first, ...rest] = differ('', modelOf(base.experiment), modelOf(e)).map(({ at: field, was, is }) =>
      failure(
        'config',
        field,
        `${JSON.stringify(was) ?? 'nothing'}, as ${adapter.of} has it`,
        JSON.stringify(is) ?? 'nothing',
        'an adapter changes nothing of what it is trained beside',
      ),
    )
    if (first !== undefined) return run(TE.left<Errors, never>([first, ...rest]))
    return { ...base, diffusion: drawnWith(base.diffusion) }
  })

/** What an adapter has learnt, by the weights that it is on. */
const learntIn = ({ config: { adapter } }: LatentDiffusion, state: Values): LowRanks => {
  const weights = drawnWith(state)
  if (adapter === undefined) return {}
  const { rank, alpha = rank } = adapter
  return Object.fromEntries(
    Object.keys(weights).flatMap((leaf): readonly (readonly [string, LowRank])[] => {
      const [, parameter] = leaf.split('/')
      if (parameter === undefined || !isAdapters(leaf) || leaf !== adapterLeaf(adapterName, parameter, 'down'))
        return []
      const [down, up] = [weights[leaf], weights[adapterLeaf(adapterName, parameter, 'up')]]
      if (down === undefined || up === undefined) return []
      const shape: Shape = [up.shape[0] ?? 1, ...down.shape.slice(1)]
      const change = {
        rank,
        factor: alpha / rank,
        shape,
        down: Float32Array.from(down.data),
        up: Float32Array.from(up.data),
      }
      return [[parameter, change]]
    }),
  )
}

/** What of a run's folder models are drawn with. */
export const adapterFiles = { lora: 'adapter.diffusers.safetensors' } as const

/** Writes what an adapter has learnt into its run's folder as diffusers and as kohya's programs read it; says where. Errors: `file`. */
export const adapterFilesOf = ({ dir }: RunOptions, model: LatentDiffusion, state: Values): Effect<readonly string[]> =>
  effect(async (run) => {
    if (model.config.adapter === undefined) return []
    const changes = learntIn(model, state)
    const shapes = Object.fromEntries(Object.entries(changes).map(([name, { shape }]) => [name, shape]))
    const networks = [unetNetwork(model.config.unet, shapes)]
    const lines: string[] = []
    for (const format of adapterFormats) {
      const path = join(dir, `adapter.${format}.safetensors`)
      await run(writeAdapter(path, { unet: changes }, networks, format))
      lines.push(`the adapter, as ${format} has it: ${path}`)
    }
    return lines
  })
