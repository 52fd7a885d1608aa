import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import { floats, type Value, type Values } from '../execute/executor.ts'
import type { Experiment } from '../experiment/document.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { saveCheckpoint } from '../io/checkpoint.ts'
import { keyIn, type LoadReport, type Wanted } from '../io/load-report.ts'
import type { StoredArray, StoredArrays } from '../io/stored.ts'
import { E, pipe, RR } from '../prelude.ts'
import { checkpointPath } from '../train/checkpoints.ts'
import { modelParameters, type Plan, type StagePlan, stageIdentity, stagesOf, trainingOf } from '../train/plan.ts'
import { grouped } from '../train/state.ts'

/** A run made of a published checkpoint: which of its arrays go where, and the folder that training and sampling read. */

/** Where files keep a stage's parameters and their averages: as a part of latent diffusion, or by themselves. */
interface Layout {
  readonly weights: string
  readonly average: string
}
const layouts: Readonly<Record<StagePlan['name'], readonly Layout[]>> = {
  'first-stage': [
    { weights: 'first_stage_model.', average: 'first_stage_model.model_ema.' },
    { weights: '', average: 'model_ema.' },
  ],
  diffusion: [
    { weights: 'model.diffusion_model.', average: 'model_ema.diffusion_model' },
    { weights: '', average: 'model_ema.' },
  ],
}

const shadow = 'ema.shadow.'

/** A stage that the file holds, and what is wanted for it. */
export interface ImportedStage {
  readonly stage: StagePlan
  readonly initial: Values
  readonly wanted: readonly Wanted[]
}

/** What a stage holds, and what the file has beside it, as weights of LPIPS, which training reads from files of their own. */
const wantedIn = (stage: StagePlan, initial: Values, found: StoredArrays, layout: Layout): readonly Wanted[] => {
  const held = ({ name }: { readonly name: string }): boolean => Object.hasOwn(initial, name)
  const own = modelParameters(stage).filter((p) => held(p) || Object.hasOwn(found, layout.weights + p.name))
  const averaged = Object.keys(found).some((key) => key.startsWith(layout.average))
  const weights = keyIn({ prefix: layout.weights, dotless: false })
  const average = keyIn({ prefix: layout.average, dotless: true })
  return [
    ...own.map(({ name, shape }) => ({ name, key: weights(name), shape })),
    ...own.flatMap(({ name, shape }) =>
      averaged && Object.hasOwn(initial, shadow + name) ? [{ name: shadow + name, key: average(name), shape }] : [],
    ),
  ]
}

/** The stages that a file holds at least one parameter of. Errors (`file`): none. */
export const importedStages = (
  path: string,
  plan: Plan,
  seed: number,
  found: StoredArrays,
): Checked<readonly ImportedStage[]> => {
  const stages = stagesOf(plan).flatMap((stage): readonly ImportedStage[] => {
    const names = modelParameters(stage).map(({ name }) => name)
    const layout = layouts[stage.name].find(({ weights }) => names.some((name) => Object.hasOwn(found, weights + name)))
    if (layout === undefined) return []
    const initial = stage.step.initial(seed)
    return [{ stage, initial, wanted: wantedIn(stage, initial, found, layout) }]
  })
  const [first] = modelParameters(plan.firstStage)
  return stages.length > 0
    ? E.right(stages)
    : fail(
        'file',
        path,
        `parameters of the experiment, such as ${first?.name} or first_stage_model.${first?.name}`,
        Object.keys(found).slice(0, 3).join(', ') || 'no arrays',
      )
}

/** What latent diffusion saves beside its parameters, and an experiment declares or derives. */
const derived: ReadonlySet<string> = new Set([
  'betas',
  'alphas_cumprod',
  'alphas_cumprod_prev',
  'sqrt_alphas_cumprod',
  'sqrt_one_minus_alphas_cumprod',
  'log_one_minus_alphas_cumprod',
  'sqrt_recip_alphas_cumprod',
  'sqrt_recipm1_alphas_cumprod',
  'posterior_variance',
  'posterior_log_variance_clipped',
  'posterior_mean_coef1',
  'posterior_mean_coef2',
  'lvlb_weights',
  'scale_factor',
  'model_ema.decay',
  'model_ema.num_updates',
])

/** The arrays of a file without those that follow from the experiment. */
export const withoutDerived: (found: StoredArrays) => StoredArrays = RR.filterWithIndex((key) => !derived.has(key))

const numbers = ({ data }: StoredArray): readonly number[] => Array.from<number | bigint, number>(data, Number)
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * Math.abs(b)

const sameSchedule = (path: string, declared: readonly number[], found: StoredArray | undefined): Checked<unknown> => {
  if (found === undefined) return E.right(found)
  const betas = numbers(found)
  return betas.length === declared.length && betas.every((b, i) => near(b, declared[i] ?? 0))
    ? E.right(found)
    : fail(
        'config',
        '/diffusion/schedule',
        `the schedule of ${path}: ${betas.length} betas from ${betas[0]} to ${betas.at(-1)}`,
        `${declared.length} from ${declared[0]} to ${declared.at(-1)}`,
      )
}

/**
 * The experiment with the latents' scale that the file was trained with, if its U-Net is imported. Errors (`config`):
 * another noise schedule or another fixed scale than the file's.
 */
export const agreeing = (path: string, e: Experiment, plan: Plan, found: StoredArrays): Checked<Experiment> => {
  const scale = found.scale_factor === undefined ? undefined : numbers(found.scale_factor)[0]
  if (e.diffusion === undefined || plan.diffusion === undefined) return E.right(e)
  const { latentScale } = e.diffusion
  const schedule = sameSchedule(path, plan.diffusion.model.schedule.betas, found.betas)
  if (E.isLeft(schedule)) return schedule
  if (scale === undefined) return E.right(e)
  return latentScale.kind === 'fixed' && !near(latentScale.value, scale)
    ? fail('config', '/diffusion/latentScale', `${scale}, as in ${path}`, String(latentScale.value))
    : E.right({ ...e, diffusion: { ...e.diffusion, latentScale: { kind: 'fixed', value: scale } } })
}

const asValue = ({ data }: StoredArray, { shape }: Value): Value =>
  floats(shape, Float32Array.from<number | bigint>(data, Number))

/** The stage's state: imported arrays over initial ones. Averages that the file lacks begin as copies. */
const stateOf = ({ initial, wanted }: ImportedStage, report: LoadReport, found: StoredArrays): Values => {
  const loaded = new Set(report.loaded.map(({ key }) => key))
  const arrays = new Map(
    wanted.flatMap(({ name, key }) => {
      const array = loaded.has(key) ? found[key] : undefined
      return array === undefined ? [] : [[name, array] as const]
    }),
  )
  return pipe(
    initial,
    RR.mapWithIndex((name, value: Value) => {
      const array = arrays.get(name) ?? (name.startsWith(shadow) ? arrays.get(name.slice(shadow.length)) : undefined)
      return array === undefined ? value : asValue(array, value)
    }),
  )
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)

export interface ImportedRun {
  readonly dir: string
  readonly experiment: Experiment
  readonly classes: readonly string[]
  readonly stages: readonly ImportedStage[]
  readonly report: LoadReport
  readonly found: StoredArrays
  /** Training begins at the imported weights; else it is over. */
  readonly fineTune: boolean
}

/** Writes the folder of a run, in the layout that `train` writes; the experiment last, which makes it a run. Errors: `file`. */
export const writeImportedRun = ({
  dir,
  experiment,
  classes,
  stages,
  report,
  found,
  fineTune,
}: ImportedRun): Effect<void> =>
  effect(async (run) => {
    for (const imported of stages) {
      const { stage } = imported
      const steps = trainingOf(experiment, stage)?.steps ?? 0
      const done = fineTune ? 0 : steps
      const meta = stageIdentity(stage, { seed: experiment.seed, steps })
      const path = checkpointPath(join(dir, stage.name), done)
      await run(saveCheckpoint(path, { step: done, groups: grouped(stateOf(imported, report, found)), meta }))
    }
    const scale = experiment.diffusion?.latentScale
    if (scale?.kind === 'fixed' && stages.some(({ stage }) => stage.name === 'diffusion'))
      await run(writeFileAtomic(join(dir, 'latents.json'), json({ scale: scale.value, classes })))
    await run(writeFileAtomic(join(dir, 'experiment.json'), json(experiment)))
  })
