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
import { ownTextsOf } from '../experiment/conditioning.ts'
import { controlPrefix, copiedBy } from '../experiment/control.ts'
import type { LatentDiffusion } from '../experiment/diffusion-stage.ts'
import type { Experiment } from '../experiment/document.ts'
import { inversionPrefix } from '../experiment/new-word.ts'
import { differ } from '../experiment/same.ts'
import type { Shape } from '../graph/types.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { toLayout } from '../io/key-map.ts'
import { unwritten, writeSafetensors } from '../io/safetensors-writer.ts'
import type { StoredArrays } from '../io/stored.ts'
import { TE } from '../prelude.ts'
import { controlNetDocument, controlNetNames, toTheirs } from '../published/diffusers/index.ts'
import { inversionFiles, inversionOf } from '../text/inversion-files.ts'
import type { Base, HeldTexts, RunOptions } from './options.ts'
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

/** The text encoders that an experiment holds itself; undefined where it has none. Errors: those of opening them; `config`, nothing that does. */
export const heldTextsOf = (
  { diffusion }: Experiment,
  { openTexts }: Pick<RunOptions, 'openTexts'>,
): Effect<HeldTexts | undefined> => {
  const own = ownTextsOf(diffusion?.conditioning)
  return own === undefined || diffusion?.adapter !== undefined
    ? TE.right(undefined)
    : openTexts === undefined
      ? TE.fromEither(fail('config', '/diffusion/conditioning/from', 'something that opens it', 'nothing'))
      : openTexts(own)
}

/** What an adapter has learnt, by the weights that it is on. */
const learntIn = ({ config: { adapter } }: LatentDiffusion, state: Values): LowRanks => {
  const weights = drawnWith(state)
  if (adapter?.kind !== 'lora') return {}
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
export const adapterFiles = {
  lora: 'adapter.diffusers.safetensors',
  word: 'learned_embeds.safetensors',
  control: 'controlnet',
} as const

/** What the leaves of a step begin with: as the base says, or as the weights that they are copies of. */
export const beginsOf = ({ begins = {}, diffusion }: Base, leaves: readonly string[]): Values => ({
  ...begins,
  ...Object.fromEntries(
    leaves.flatMap((leaf) => {
      const copied = diffusion[copiedBy(leaf) ?? '']
      return copied === undefined ? [] : [[leaf, copied] as const]
    }),
  ),
})

type Adapter = NonNullable<LatentDiffusion['config']['adapter']>
/** Writes files into a folder; a line of each. */
type Write = (dir: string, model: LatentDiffusion, state: Values) => Effect<readonly string[]>

const writeLora: Write = (dir, model, state) =>
  effect(async (run) => {
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

const writeWord: Write = (dir, { config: { adapter } }, state) =>
  effect(async (run) => {
    if (adapter?.kind !== 'textual-inversion') return []
    const weights = drawnWith(state)
    const tables = Object.entries(weights).flatMap(([name, { shape, data }]) =>
      name.startsWith(inversionPrefix)
        ? [[name, { dtype: 'float32', shape, data: Float32Array.from(data) }] as const]
        : [],
    )
    const vectors = inversionOf(
      adapter.token,
      tables.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, table]) => table),
    )
    const lines: string[] = []
    for (const [what, name, file] of inversionFiles(vectors)) {
      const path = join(dir, name)
      await run(writeSafetensors(path, unwritten(file.tensors), file.metadata))
      lines.push(`${adapter.token}, as ${what} has it: ${path}`)
    }
    return lines
  })

/** A folder of diffusers. */
const writeControl: Write = (dir, { control }, state) =>
  effect(async (run) => {
    if (control === undefined) return []
    const weights = drawnWith(state)
    const arrays: StoredArrays = Object.fromEntries(
      Object.entries(weights).flatMap(([name, { shape, data }]) =>
        name.startsWith(controlPrefix)
          ? [[name.slice(controlPrefix.length), { dtype: 'float32', shape, data: Float32Array.from(data) }] as const]
          : [],
      ),
    )
    const folder = join(dir, adapterFiles.control)
    const config = await run(TE.fromEither(controlNetDocument({ controlNet: control })))
    const theirs = await run(TE.fromEither(toLayout(toTheirs(controlNetNames(control)))(arrays)))
    await run(
      writeSafetensors(join(folder, 'diffusion_pytorch_model.safetensors'), unwritten(theirs), { format: 'pt' }),
    )
    await run(
      writeFileAtomic(join(folder, 'config.json'), new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)),
    )
    return [`the ControlNet, as diffusers has it: ${folder}`]
  })

const writers: { readonly [K in Adapter['kind']]: Write } = {
  lora: writeLora,
  'textual-inversion': writeWord,
  controlnet: writeControl,
}

/** Writes what was learnt into its run's folder as other programs read it; says where. Errors: `file`. */
export const adapterFilesOf = (
  { dir }: RunOptions,
  model: LatentDiffusion,
  state: Values,
): Effect<readonly string[]> => {
  const { adapter } = model.config
  return adapter === undefined ? TE.right([]) : writers[adapter.kind](dir, model, state)
}
