import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Effect, type Errors, effect } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { validated } from '../experiment/validation.ts'
import type { Owned } from '../io/owner.ts'
import { E, TE } from '../prelude.ts'
import { resumeCommand } from '../run/resume-command.ts'
import { openBase } from '../run/trained-run.ts'
import { checkpointsOf } from '../train/checkpoints.ts'
import type { Listener } from '../train/options.ts'
import { type Progress, progress } from '../train/progress.ts'
import { writeReport } from '../train/report/index.ts'
import { trainExperiment } from '../train/run.ts'
import { reportData, stageMetrics } from './report-data.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

export interface Session {
  readonly experiment: Experiment
  readonly owned: Owned
  readonly resume: boolean
}

/** The metrics worth a place in a line, where a stage has them. */
const shownMetrics = ['loss', 'rec_loss', 'kl_loss'] as const
const shownOfHeldOut = ['loss', 'psnr', 'ssim'].flatMap((metric) => [validated(metric), validated(metric, true)])

interface Watch {
  readonly listener: Omit<Listener, 'stopping'>
  /** Seconds each stage took. */
  readonly seconds: ReadonlyMap<string, number>
  /** What the run is at, and whether it is among a stage's steps, whose end a checkpoint keeps. */
  readonly now: { what: string; stepping: boolean }
  /** Ends the line of a bar. */
  readonly end: () => void
}

/** A bar for each stage, which begins where its first step is. */
const watch = (say: (line: string) => void): Watch => {
  const seconds = new Map<string, number>()
  const stage: { bar?: Progress; total: number; began: number } = { total: 0, began: 0 }
  const now = { what: 'starting', stepping: false }
  const end = (): void => {
    stage.bar?.done()
    delete stage.bar
  }
  return {
    seconds,
    now,
    end,
    listener: {
      say: (line) => {
        end()
        say(line)
      },
      doing: (what) => {
        now.what = what
      },
      onStage: (name, steps) => {
        stage.total = steps
        stage.began = performance.now()
        now.what = `preparing ${name}`
        delete stage.bar
      },
      onStep: (name, done, metrics) => {
        now.what = `training ${name}`
        now.stepping = true
        const bar = stage.bar ?? progress(name, stage.total, { from: done })
        stage.bar = bar
        bar.update(done, Object.fromEntries(shownMetrics.flatMap((m) => (m in metrics ? [[m, metrics[m] ?? 0]] : []))))
      },
      onValidation: (name, done, metrics, isBest) => {
        end()
        const found = Object.entries(metrics).flatMap(([metric, x]) =>
          shownOfHeldOut.includes(metric) ? [`${metric} ${Number(x.toPrecision(4))}`] : [],
        )
        say(`${name} after step ${done}: ${found.join(', ')}${isBest ? '; the best so far' : ''}`)
      },
      onStageDone: (name) => {
        now.stepping = false
        end()
        seconds.set(name, (performance.now() - stage.began) / 1000)
      },
    },
  }
}

const shortest = (path: string): string => {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}

/** What of a run that was stopped is there, and how to go on. */
const leftIn = async (dir: string, e: Experiment): Promise<string> => {
  if (!existsSync(join(dir, 'experiment.json'))) return 'nothing was written'
  const steps = { 'first-stage': autoencoderOf(e)?.training.steps, diffusion: e.diffusion?.training.steps }
  const kept: string[] = []
  for (const [stage, of] of Object.entries(steps)) {
    const places = await checkpointsOf(join(dir, stage))()
    if (E.isRight(places) && places.right[0] !== undefined)
      kept.push(`${stage} at step ${places.right[0].step} of ${of}`)
  }
  return `kept: ${kept.join(', ') || 'no step yet'}. To go on: ${resumeCommand(dir)}`
}

/** Work that cannot be asked to stop is left after so long (ms). */
const patience = 1000

const isStop = (errors: Errors): boolean => errors.some(({ tag }) => tag === 'stopped')

/** Trains, with everything a person wants to see; ends by saying where the results are, or after a stop what was kept. */
export const trainSession = ({ experiment, owned, resume }: Session, terminal: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const dir = shortest(owned.dir)
    const say = (line: string): void => terminal.err(`${line}\n`)
    const { listener, seconds, now, end } = watch(say)
    const tellStop = async (): Promise<void> => say(`stopped while ${now.what}; ${await leftIn(dir, experiment)}`)
    const stop = stopOnSignals(() => {
      end()
      say(`stopping${now.stepping ? ' behind a checkpoint' : ''}; once more to stop at once`)
      setTimeout(async () => {
        if (now.stepping) return
        await tellStop()
        process.exit(stop.exitCode())
      }, patience).unref()
    })
    const work = effect(async (go) => {
      const { executor, reason } = await go(chooseExecutor(experiment.executor))
      say(`${experiment.name}: ${resume ? 'going on' : 'training'} in ${dir}, on ${executor.name} (${reason})`)
      const summary = await go(
        trainExperiment(experiment, {
          dir: owned.dir,
          owned,
          executor,
          resume,
          listener: { ...listener, stopping: stop.requested },
          openBase,
          resumeCommand: (settings) => resumeCommand(dir, settings),
        }),
      )
      listener.doing('writing the report')
      const metrics = await go(stageMetrics(owned.dir, summary))
      const data = await go(reportData({ summary, seconds, metrics, executor: executor.name, dir }))
      await go(owned.held)
      const report = await go(writeReport(owned.dir, data, metrics))
      terminal.out(`${shortest(report)}\n`)
      say(
        `done${summary.firstStage === undefined ? '' : `: held-out reconstructions at ${summary.firstStage.heldOutPsnr.toFixed(1)} dB`}. Open ${shortest(report)}; the pictures lie beside it.`,
      )
      return exitCodes.done
    })
    try {
      const ended = await work()
      end()
      if (E.isLeft(ended) && isStop(ended.left)) {
        await tellStop()
        return stop.exitCode()
      }
      return await run(TE.fromEither(ended))
    } finally {
      stop.dispose()
    }
  })
