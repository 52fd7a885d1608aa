import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { latentScaleOf } from '../experiment/space.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { writeCheckpoint } from '../io/checkpoint.ts'
import type { CheckpointFile } from '../io/checkpoint-file.ts'
import { type LoadReport, loadReport, showLoadReport, strictly, type Wanted } from '../io/load-report.ts'
import type { UnwrittenArray, UnwrittenArrays } from '../io/safetensors-writer.ts'
import { countNonFinite, type StoredArray, type UnreadArray, type UnreadArrays } from '../io/stored.ts'
import { unwrapped, unwrappedName } from '../io/wrapped-names.ts'
import { pipe, RR, TE } from '../prelude.ts'
import type { Words } from '../text/learnt.ts'
import { checkpointPath } from '../train/checkpoints.ts'
import { identitiesOf, type Plan, type StagePlan, stagesOf, trainingOf } from '../train/plan.ts'
import { inGroups, initialValue } from '../train/state.ts'
import type { Carried } from '../train/step.ts'
import { writeWords } from '../train/texts.ts'
import { agreeing, type ImportedStage, importedStages, withoutDerived } from './imported-stages.ts'

/** A run made of a published checkpoint: which of its arrays go where, and the folder that training and sampling read. */

const asFloats = ({ dtype, data }: StoredArray): Float32Array =>
  dtype === 'float32' ? data : Float32Array.from<number | bigint>(data, Number)

interface Filling {
  readonly wanted: Wanted
  readonly array: UnreadArray
}
const fillingsOf = ({ wanted }: ImportedStage, report: LoadReport, found: UnreadArrays): readonly Filling[] => {
  const loaded = new Set(report.loaded.map(({ key }) => key))
  return wanted.flatMap((w) => {
    const array = loaded.has(w.key) ? found[w.key] : undefined
    return array === undefined ? [] : [{ wanted: w, array }]
  })
}

const mostNamed = 8

/** Reads what will be imported once, before anything is written. Errors (`file`): names of arrays that hold NaN or infinity. */
const allFinite = (path: string, fillings: readonly Filling[]): Effect<void> =>
  effect(async (run) => {
    const broken: string[] = []
    for (const { wanted, array } of fillings) {
      const data = asFloats(await run(array.read))
      const count = countNonFinite(data)
      if (count > 0) broken.push(`${wanted.key} (${count} of ${data.length})`)
    }
    if (broken.length === 0) return
    const named = broken.slice(0, mostNamed).join(', ')
    const rest = broken.length > mostNamed ? ` and ${broken.length - mostNamed} more` : ''
    return run(
      TE.fromEither(
        fail(
          'file',
          path,
          'finite numbers, in single precision',
          `NaN or infinity in ${broken.length} of ${fillings.length} arrays: ${named}${rest}`,
        ),
      ),
    )
  })

/**
 * The stage's state, each array read, or drawn where the file lacks it, when it is written. Averages that the file lacks begin as
 * copies.
 */
const stateOf = ({ step }: StagePlan, seed: number, fillings: readonly Filling[]): UnwrittenArrays => {
  const given = new Map(fillings.map(({ wanted, array }) => [wanted.name, array]))
  return RR.mapWithIndex((name, { shape, begins }: Carried): UnwrittenArray => {
    const array = given.get(name) ?? given.get(begins.name)
    const read: UnwrittenArray['read'] =
      array === undefined
        ? TE.fromIO(() => initialValue(seed, begins))
        : pipe(
            array.read,
            TE.map((found) => ({ dtype: 'float32', shape, data: asFloats(found) })),
          )
    return { dtype: 'float32', shape, read }
  })(step.leaves)
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)

export interface ImportOptions {
  /** The checkpoint. */
  readonly file: string
  /** The folder to be written. */
  readonly dir: string
  readonly declared: Experiment
  readonly plan: Plan
  readonly classes: readonly string[]
  /** Where the model reads texts. */
  readonly words: Words | undefined
  readonly ignoreKeys: readonly string[]
  /** Training begins at the imported weights; else it is over. */
  readonly fineTune: boolean
}

interface ImportedRun extends ImportOptions {
  readonly experiment: Experiment
  readonly stages: readonly ImportedStage[]
  readonly report: LoadReport
  readonly found: UnreadArrays
}

/** In the layout that `train` writes; the experiment last, which makes it a run. */
const writeRun = ({
  dir,
  experiment,
  plan,
  classes,
  words,
  stages,
  report,
  found,
  fineTune,
}: ImportedRun): Effect<void> =>
  effect(async (run) => {
    const identities = await run(TE.fromEither(identitiesOf(experiment, classes.length, plan)))
    for (const imported of stages) {
      const { stage } = imported
      const steps = trainingOf(experiment, stage)?.steps ?? 0
      const done = fineTune ? 0 : steps
      const meta = identities[stage.name]
      const path = checkpointPath(join(dir, stage.name), done)
      const groups = inGroups(stateOf(stage, experiment.seed, fillingsOf(imported, report, found)))
      await run(writeCheckpoint(path, { step: done, groups, meta }))
    }
    const scale = latentScaleOf(experiment)
    if (scale.kind === 'fixed' && stages.some(({ stage }) => stage.name === 'diffusion'))
      await run(writeFileAtomic(join(dir, 'latents.json'), json({ scale: scale.value, classes })))
    if (words !== undefined) await run(writeWords(dir, words))
    await run(writeFileAtomic(join(dir, 'experiment.json'), json(experiment)))
  })

/** Parameters of the losses alone, such as a discriminator: nothing is drawn by them. */
const ofLoss = ({ name }: Wanted): boolean => name.startsWith('loss.')

/** What counts as trained has come from the file. */
const checkKept = ({ kept }: LoadReport, fineTune: boolean): Effect<unknown> => {
  const untrained = kept.filter((w) => !ofLoss(w))
  return fineTune || untrained.length === 0
    ? TE.right(kept)
    : TE.fromEither(
        fail(
          'usage',
          '--ignore-keys',
          'keys that the model can be drawn from without',
          `${untrained.length} of its parameters, which would keep their initial values: ${untrained
            .slice(0, mostNamed)
            .map(({ key }) => key)
            .join(', ')}${untrained.length > mostNamed ? ', ...' : ''}`,
          'narrower prefixes, or --fine-tune to train these from their initial values',
        ),
      )
}

/** A prefix may be given as the file has it, with what is stripped. */
const asStripped =
  (keys: readonly string[]) =>
  (prefix: string): string =>
    keys.some((key) => key.startsWith(prefix)) ? prefix : unwrappedName(prefix) || prefix

/**
 * Makes the folder of a run out of a checkpoint's arrays; `say` is told what was found. Nothing is written unless all of it fits.
 * Whether the run is ready to draw from comes back. Errors: `file`, `usage`, `config`.
 */
export const importArrays = (
  options: ImportOptions,
  given: CheckpointFile,
  say: (text: string) => void,
): Effect<{ readonly complete: boolean }> =>
  effect(async (run) => {
    const { file, declared, plan, fineTune } = options
    for (const remark of given.remarks) say(`${file}: ${remark}`)
    const { arrays, stripped } = unwrapped(given.arrays)
    const ignoreKeys = options.ignoreKeys.map(asStripped(Object.keys(arrays)))
    for (const [part, count] of stripped) say(`${file}: ${part}. stripped off ${count} names`)
    const sought = RR.filterWithIndex((key: string) => !ignoreKeys.some((prefix) => key.startsWith(prefix)))(arrays)
    const stages = await run(TE.fromEither(importedStages(file, given.place, plan, sought)))
    const hasDiffusion = stages.some(({ stage }) => stage.name === 'diffusion')
    const experiment = hasDiffusion ? await run(agreeing(file, declared, plan, arrays)) : declared
    const found = withoutDerived(arrays)
    const report = await run(
      TE.fromEither(
        loadReport(
          stages.flatMap((s) => s.wanted),
          found,
          ignoreKeys,
        ),
      ),
    )
    const derived = Object.keys(arrays).length - Object.keys(found).length
    if (derived > 0) say(`${file}: ${derived} arrays are left out that an experiment declares or derives, as betas`)
    say(`${file}: ${stages.map(({ stage }) => stage.name).join(', ')}\n${showLoadReport(report)}`)
    if (hasDiffusion && stages.length < stagesOf(plan).length)
      say(`${file}: the U-Net alone; a first stage that is trained now makes other latents than it was trained on`)
    await run(TE.fromEither(strictly(file)(report)))
    await run(checkKept(report, fineTune))
    await run(
      allFinite(
        file,
        stages.flatMap((stage) => fillingsOf(stage, report, found)),
      ),
    )
    await run(writeRun({ ...options, experiment, stages, report, found }))
    return { complete: !fineTune && experiment.diffusion !== undefined && stages.length === stagesOf(plan).length }
  })
