import { join, relative } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { auto, type Choice, executorByName } from '../execute/auto.ts'
import { ready } from '../execute/ready.ts'
import type { Experiment } from '../experiment/document.ts'
import { pipe, TE } from '../prelude.ts'
import { type Progress, progress } from '../train/progress.ts'
import { writeReport } from '../train/report/index.ts'
import { trainExperiment } from '../train/run.ts'
import type { Listener } from '../train/stage.ts'
import { reportData, stageMetrics } from './report-data.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

/** The executor that an experiment or an option names; an error before anything else where it cannot run here. */
export const chooseExecutor = (name: string): Effect<Choice> =>
  name === 'auto'
    ? pipe(
        auto,
        TE.map(({ executor }) => ({ executor, reason: 'npx latentgraph doctor says why' })),
      )
    : pipe(
        TE.fromEither(executorByName(name)),
        TE.chain(ready),
        TE.map((executor) => ({ executor, reason: 'as asked for' })),
      )

export interface Session {
  readonly experiment: Experiment
  /** The experiment's file as it was given. */
  readonly file: string
  readonly dir: string
  readonly resume: boolean
}

/** The metrics worth a place in a line, where a stage has them. */
const shownMetrics = ['loss', 'rec_loss', 'kl_loss'] as const

interface Watch {
  readonly listener: Omit<Listener, 'stopping'>
  /** Seconds each stage took. */
  readonly seconds: ReadonlyMap<string, number>
}

/** A bar for each stage, which begins where its first step is. */
const watch = (say: (line: string) => void): Watch => {
  const seconds = new Map<string, number>()
  const stage: { bar?: Progress; total: number; began: number } = { total: 0, began: 0 }
  return {
    seconds,
    listener: {
      say,
      onStage: (_, steps) => {
        stage.total = steps
        stage.began = performance.now()
        delete stage.bar
      },
      onStep: (name, done, metrics) => {
        const bar = stage.bar ?? progress(name, stage.total, { from: done })
        stage.bar = bar
        bar.update(done, Object.fromEntries(shownMetrics.flatMap((m) => (m in metrics ? [[m, metrics[m] ?? 0]] : []))))
      },
      onStageDone: (name) => {
        stage.bar?.done()
        seconds.set(name, (performance.now() - stage.began) / 1000)
      },
    },
  }
}

const shortest = (path: string): string => {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}

/** Trains, with everything a person wants to see; ends by saying where the results are. */
export const trainSession = ({ experiment, file, dir, resume }: Session, terminal: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const say = (line: string): void => terminal.err(`${line}\n`)
    const { executor, reason } = await run(chooseExecutor(experiment.executor))
    say(`${experiment.name}: ${resume ? 'going on' : 'training'} in ${shortest(dir)}, on ${executor.name} (${reason})`)
    const stop = stopOnSignals((line) => say(`\n${line}`))
    try {
      const { listener, seconds } = watch(say)
      const summary = await run(
        trainExperiment(experiment, { dir, executor, resume, listener: { ...listener, stopping: stop.requested } }),
      )
      if (!summary.finished) {
        const own = join(shortest(dir), 'experiment.json')
        say(`stopped. To go on: npx latentgraph train ${own} --out ${shortest(dir)} --resume`)
        return stop.exitCode()
      }
      const metrics = await run(stageMetrics(dir, summary))
      const data = await run(
        reportData({ summary, seconds, executor: executor.name, dir: shortest(dir), file: shortest(file) }),
      )
      const report = await run(writeReport(dir, data, metrics))
      terminal.out(`${shortest(report)}\n`)
      say(
        `done: held-out reconstructions at ${summary.heldOutPsnr.toFixed(1)} dB. Open ${shortest(report)}; the pictures lie beside it.`,
      )
      return exitCodes.done
    } finally {
      stop.dispose()
    }
  })
