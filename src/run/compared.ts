import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, showErrors } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { loadExperiment } from '../experiment/load.ts'
import { differ } from '../experiment/same.ts'
import { encodePng } from '../io/images.ts'
import { grid } from '../io/pictures.ts'
import { E, TE } from '../prelude.ts'
import type { ComparedRun, Comparison } from '../train/report/compare.ts'
import type { StageMetrics } from '../train/report/index.ts'
import { heldRun } from './held-run.ts'
import { loadRun } from './loaded.ts'
import { stageMetrics } from './report-data.ts'

/** Runs beside each other: what they were told, what they have measured, what they draw. */

export interface Compare {
  readonly runs: readonly string[]
  /** Of the noise that all draw from; nothing is drawn where left out. */
  readonly seed: number | undefined
  /** Pictures of each kind. */
  readonly count: number
  readonly say: (line: string) => void
}

const stages = ['first-stage', 'diffusion'] as const

/** What tells where a run is from, and not what it is. */
const apart = /^\/(\$schema|name)$/

const shown = (value: unknown): string =>
  value === undefined ? '-' : typeof value === 'string' ? value : JSON.stringify(value)

const at = (document: unknown, pointer: string): unknown =>
  pointer
    .slice(1)
    .split('/')
    .reduce<unknown>(
      (within, key) =>
        typeof within === 'object' && within !== null ? Object.getOwnPropertyDescriptor(within, key)?.value : undefined,
      document,
    )

/** Where documents are not all the same, and the value of each there. */
export const differencesOf = (documents: readonly object[]): Comparison['differences'] => {
  const [first, ...others] = documents
  const pointers = [...new Set(others.flatMap((other) => differ('', first, other).map((found) => found.at)))]
  return pointers
    .filter((pointer) => !apart.test(pointer))
    .map((pointer) => ({ pointer, values: documents.map((document) => shown(at(document, pointer))) }))
}

const lastOf = ({ metrics }: StageMetrics, name: string): number | undefined =>
  metrics.findLast((line) => line[name] !== undefined)?.[name]
const mentioned = ['loss', 'val/loss', 'val/loss_ema', 'val/psnr'] as const
/** The last of what is measured, of each stage. */
const figuresOf = (metrics: readonly StageMetrics[]): ComparedRun['figures'] =>
  metrics.flatMap((stage) => [
    { name: `${stage.stage}: steps`, value: stage.metrics.at(-1)?.step ?? 0 },
    ...mentioned.flatMap((name) => {
      const value = lastOf(stage, name)
      return value === undefined ? [] : [{ name: `${stage.stage}: ${name}`, value }]
    }),
  ])

/** What a run draws from the noise of a seed, as a PNG. */
const drawn = (dir: string, seed: number, count: number): Effect<Uint8Array> =>
  effect(async (run) => {
    const opened = await run(loadRun(dir))
    try {
      const pictures = await run(opened.sample({ seed, count }))
      const [first] = pictures
      const scale = first !== undefined && first.height < 256 ? 2 : 1
      return await run(encodePng(await run(TE.fromEither(grid(pictures, { columns: count, scale })))))
    } finally {
      opened.dispose()
    }
  })

/** Errors: `usage`, a folder that holds no run; `file`, `config`. A run that cannot draw is said to be none that does. */
export const compared = ({ runs, seed, count, say }: Compare): Effect<Comparison> =>
  effect(async (go) => {
    const all: (ComparedRun & { readonly experiment: Experiment })[] = []
    for (const dir of runs) {
      await go(heldRun(dir))
      const experiment = await go(loadExperiment(join(dir, 'experiment.json')))
      const metrics = await go(
        stageMetrics(
          dir,
          stages.filter((stage) => existsSync(join(dir, stage, 'metrics.jsonl'))),
        ),
      )
      if (seed !== undefined) say(`${dir}: drawing`)
      const samples = seed === undefined ? undefined : await drawn(dir, seed, count)()
      if (samples !== undefined && E.isLeft(samples)) say(`${dir}: draws nothing\n${showErrors(samples.left)}`)
      all.push({
        ...{ dir, experiment, metrics, figures: figuresOf(metrics) },
        ...(samples !== undefined && E.isRight(samples) ? { samples: samples.right } : {}),
      })
    }
    return {
      runs: all,
      seed,
      differences: differencesOf(all.map(({ experiment }) => experiment)),
    }
  })
