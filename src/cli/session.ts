import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Effect, effect } from '../error.ts'
import type { Group } from '../execute/ranks/group.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { validated } from '../experiment/validation.ts'
import type { Owned } from '../io/owner.ts'
import { E, TE } from '../prelude.ts'
import { resumeCommand } from '../run/resume-command.ts'
import { tensorboard } from '../run/tensorboard.ts'
import { trainIn } from '../run/train.ts'
import { checkpointsOf } from '../train/checkpoints.ts'
import { type Metrics, type Sink, sinks, type TrainingEvent } from '../train/events.ts'
import { type Progress, progress } from '../train/progress.ts'
import { isStop } from '../train/stop.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

export interface Session {
  readonly experiment: Experiment
  readonly owned: Owned
  readonly resume: boolean
  /** Whether TensorBoard's files are written too. */
  readonly tensorboard?: boolean
  /** What was typed, to train in that folder. */
  readonly command: (dir: string) => string
  /** The processes that train with this one, their rank 0. */
  readonly group?: Group
}

/** The metrics worth a place in a line, where a stage has them. */
const shownMetrics = ['loss', 'rec_loss', 'kl_loss'] as const
const shownOfHeldOut = ['loss', 'psnr', 'ssim'].flatMap((metric) => [validated(metric), validated(metric, true)])

const shownOf = (metrics: Metrics, names: readonly string[]): Metrics =>
  Object.fromEntries(names.flatMap((m) => (metrics[m] === undefined ? [] : [[m, metrics[m]]])))

interface Watch {
  readonly tell: Sink
  /** What the run is at, and whether it is among a stage's steps, whose end a checkpoint keeps. */
  readonly now: { what: string; stepping: boolean }
  /** Ends the line of a bar. */
  readonly end: () => void
}

type Of<K extends TrainingEvent['kind']> = Extract<TrainingEvent, { readonly kind: K }>
type Shows = { readonly [K in TrainingEvent['kind']]: (event: Of<K>) => void }

/** A bar for each stage, which begins where its first step is. */
const watch = (say: (line: string) => void): Watch => {
  const stage: { bar?: Progress; total: number } = { total: 0 }
  const now = { what: 'starting', stepping: false }
  const end = (): void => {
    stage.bar?.done()
    delete stage.bar
  }
  const saidAfter = (line: string): void => {
    end()
    say(line)
  }
  const shows: Shows = {
    run: ({ name, dir, executor, reason, resumed }) =>
      say(`${name}: ${resumed ? 'going on' : 'training'} in ${dir}, on ${executor} (${reason})`),
    doing: ({ what }) => {
      now.what = what
    },
    note: ({ text }) => saidAfter(text),
    stage: ({ stage: name, steps }) => {
      stage.total = steps
      now.what = `preparing ${name}`
      delete stage.bar
    },
    step: ({ stage: name, step, metrics }) => {
      now.what = `training ${name}`
      now.stepping = true
      const bar = stage.bar ?? progress(name, stage.total, { from: step })
      stage.bar = bar
      bar.update(step, shownOf(metrics, shownMetrics))
    },
    validation: ({ stage: name, step, metrics, isBest }) => {
      const found = Object.entries(metrics).flatMap(([metric, x]) =>
        shownOfHeldOut.includes(metric) ? [`${metric} ${Number(x.toPrecision(4))}`] : [],
      )
      saidAfter(`${name} after step ${step}: ${found.join(', ')}${isBest ? '; the best so far' : ''}`)
    },
    checkpoint: () => {},
    preview: () => {},
    rewound: () => end(),
    'stage-done': () => {
      now.stepping = false
      end()
    },
    done: () => end(),
    stopped: () => end(),
    failed: () => end(),
  }
  const show = <K extends TrainingEvent['kind']>(kind: K, event: Of<K>): void => shows[kind](event)
  return { now, end, tell: (event) => TE.fromIO(() => show(event.kind, event)) }
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

/** Trains, with everything a person wants to see; ends by saying where the results are, or after a stop what was kept. */
export const trainSession = (
  { experiment, owned, resume, tensorboard: asked = false, command: typed, group }: Session,
  terminal: Terminal,
): Effect<Outcome> =>
  effect(async (run) => {
    const dir = shortest(owned.dir)
    const say = (line: string): void => terminal.err(`${line}\n`)
    const { tell: show, now, end } = watch(say)
    const tell = asked ? sinks(show, tensorboard(join(owned.dir, 'tensorboard'))) : show
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
    const { requested: stopping } = stop
    const command = `npx latentgraph ${typed(dir)}`
    try {
      const ended = await trainIn({
        experiment,
        owned,
        dir,
        resume,
        executor: experiment.executor,
        tell,
        stopping,
        command,
        ...(group === undefined ? {} : { group }),
      })()
      end()
      if (E.isLeft(ended) && isStop(ended.left)) {
        await tellStop()
        return stop.exitCode()
      }
      const { report, summary } = await run(TE.fromEither(ended))
      terminal.out(`${shortest(report)}\n`)
      say(
        `done${summary.firstStage === undefined ? '' : `: held-out reconstructions at ${summary.firstStage.heldOutPsnr.toFixed(1)} dB`}. Open ${shortest(report)}; the pictures lie beside it.`,
      )
      return exitCodes.done
    } finally {
      stop.dispose()
    }
  })
