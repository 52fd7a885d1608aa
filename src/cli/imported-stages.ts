import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { latentScaleOf } from '../experiment/space.ts'
import { keyIn, type Wanted } from '../io/load-report.ts'
import { asArgument } from '../io/names.ts'
import type { StoredArray, UnreadArray, UnreadArrays } from '../io/stored.ts'
import { E, pipe, RR, TE } from '../prelude.ts'
import { modelParameters, type Plan, type StagePlan, stagesOf } from '../train/plan.ts'

/** Which stages of an experiment a published checkpoint holds, under which names, and what it says of the experiment. */

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

export const shadow = 'ema.shadow.'

/** A stage that the file holds, and what is wanted for it. */
export interface ImportedStage {
  readonly stage: StagePlan
  readonly wanted: readonly Wanted[]
}

/** What a stage holds, and what the file has beside it, as weights of LPIPS, which training reads from files of their own. */
const wantedIn = (stage: StagePlan, found: UnreadArrays, layout: Layout): readonly Wanted[] => {
  const { carry } = stage.step
  const held = ({ name }: { readonly name: string }): boolean => Object.hasOwn(carry, name)
  const own = modelParameters(stage).filter((p) => held(p) || Object.hasOwn(found, layout.weights + p.name))
  const averaged = Object.keys(found).some((key) => key.startsWith(layout.average))
  const weights = keyIn({ prefix: layout.weights, dotless: false })
  const average = keyIn({ prefix: layout.average, dotless: true })
  return [
    ...own.map(({ name, shape }) => ({ name, key: weights(name), shape })),
    ...own.flatMap(({ name, shape }) =>
      averaged && Object.hasOwn(carry, shadow + name) ? [{ name: shadow + name, key: average(name), shape }] : [],
    ),
  ]
}

/** What most names of a stage begin with in a file beside what its layouts know. */
const prefixOf = (stage: StagePlan, keys: readonly string[]): readonly string[] => {
  const own = modelParameters(stage).map(({ name }) => name)
  const found = layouts[stage.name].flatMap(({ weights }) => {
    const names = new Set(own.map((name) => weights + name))
    const counts = new Map<string, number>()
    for (const key of keys)
      for (let dot = key.indexOf('.'); dot >= 0; dot = key.indexOf('.', dot + 1))
        if (names.has(key.slice(dot + 1))) counts.set(key.slice(0, dot), (counts.get(key.slice(0, dot)) ?? 0) + 1)
    return [...counts].filter(([, count]) => 2 * count > names.size).map(([prefix]) => prefix)
  })
  return found.slice(0, 1)
}

/**
 * The stages that a file holds at least one parameter of, its arrays being those at `place` in it. Errors (`file`): none, with a hint
 * where they lie deeper.
 */
export const importedStages = (
  path: string,
  place: string,
  plan: Plan,
  found: UnreadArrays,
): Checked<readonly ImportedStage[]> => {
  const stages = stagesOf(plan).flatMap((stage): readonly ImportedStage[] => {
    const names = modelParameters(stage).map(({ name }) => name)
    const layout = layouts[stage.name].find(({ weights }) => names.some((name) => Object.hasOwn(found, weights + name)))
    return layout === undefined ? [] : [{ stage, wanted: wantedIn(stage, found, layout) }]
  })
  const [first] = stagesOf(plan).flatMap((stage) =>
    modelParameters(stage).map(({ name }) => ({ name, layouts: layouts[stage.name] })),
  )
  const prefixes = new Set(stagesOf(plan).flatMap((stage) => prefixOf(stage, Object.keys(found))))
  const deeper = [...prefixes].map((prefix) => (place === '' ? prefix : `${place}.${prefix}`))
  return stages.length > 0
    ? E.right(stages)
    : fail(
        'file',
        path,
        `parameters of the experiment, such as ${(first?.layouts ?? [])
          .map(({ weights }) => weights + first?.name)
          .toReversed()
          .join(' or ')}`,
        Object.keys(found).slice(0, 3).join(', ') || 'no arrays',
        deeper.length === 0 ? undefined : `${deeper.map((d) => `--from ${asArgument(d)}`).join(', or ')} has them`,
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
export const withoutDerived: (found: UnreadArrays) => UnreadArrays = RR.filterWithIndex((key) => !derived.has(key))

const numbers = ({ data }: StoredArray): readonly number[] => Array.from<number | bigint, number>(data, Number)
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * Math.abs(b)

const sameSchedule = (path: string, declared: readonly number[], betas: readonly number[]): Checked<unknown> =>
  betas.length === declared.length && betas.every((b, i) => near(b, declared[i] ?? 0))
    ? E.right(betas)
    : fail(
        'config',
        '/diffusion/schedule',
        `the schedule of ${path}: ${betas.length} betas from ${betas[0]} to ${betas.at(-1)}`,
        declared.length === 0 ? 'a flow' : `${declared.length} from ${declared[0]} to ${declared.at(-1)}`,
      )

const readNumbers = (array: UnreadArray | undefined): Effect<readonly number[] | undefined> =>
  array === undefined ? TE.right(undefined) : pipe(array.read, TE.map(numbers))

/**
 * The experiment with the latents' scale that the file was trained with, if its U-Net is imported. Errors (`config`):
 * another noise schedule or another fixed scale than the file's; (`file`): a scale that is no positive number.
 */
export const agreeing = (path: string, e: Experiment, plan: Plan, found: UnreadArrays): Effect<Experiment> =>
  effect(async (run) => {
    if (e.diffusion === undefined || plan.diffusion === undefined) return e
    const latentScale = latentScaleOf(e)
    const betas = await run(readNumbers(found.betas))
    const [scale] = (await run(readNumbers(found.scale_factor))) ?? []
    const declared = plan.diffusion.model.process.schedule?.betas ?? []
    if (betas !== undefined) await run(TE.fromEither(sameSchedule(path, declared, betas)))
    if (scale === undefined) return e
    if (!(scale > 0 && Number.isFinite(scale)))
      return run(TE.fromEither(fail('file', `${path}: scale_factor`, 'a positive number', String(scale))))
    return latentScale.kind === 'fixed' && !near(latentScale.value, scale)
      ? run(
          TE.fromEither(fail('config', '/diffusion/latentScale', `${scale}, as in ${path}`, String(latentScale.value))),
        )
      : { ...e, diffusion: { ...e.diffusion, latentScale: { kind: 'fixed', value: scale } } }
  })
