import { appendFile } from 'node:fs/promises'
import { type Checked, type Effect, type Errors, effect, showErrors } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import type { Executor } from '../execute/executor.ts'
import type { Group } from '../execute/ranks/group.ts'
import { unlessLost, whileJoined } from '../execute/ranks/while-joined.ts'
import type { Definition } from '../experiment/define.ts'
import type { Experiment } from '../experiment/document.ts'
import { loadWritten } from '../experiment/load.ts'
import type { Own } from '../experiment/own.ts'
import { fileEffect } from '../io/bytes.ts'
import { imaging } from '../io/images.ts'
import type { Owned } from '../io/owner.ts'
import { completed } from '../pipelines/tuning.ts'
import { E, identity, pipe, TE } from '../prelude.ts'
import { doing, note, type Sink, sinks, type TrainingEvent } from '../train/events.ts'
import type { RunOptions } from '../train/options.ts'
import { stagesOf } from '../train/plan.ts'
import { type Leader, leading } from '../train/ranks.ts'
import { curvesCanBeDrawn, writeReport } from '../train/report/index.ts'
import { type RunSummary, trainExperiment } from '../train/run.ts'
import { isStop } from '../train/stop.ts'
import { liveReport } from './live-report.ts'
import { reportData, type StageTime, stageMetrics } from './report-data.ts'
import { resumeCommand } from './resume-command.ts'
import { inRunFolder } from './run-folder.ts'
import { openBase, openTexts } from './trained-run.ts'

/** Training in programs; the command line trains by the same. */

/** A run that has come to its end. */
export interface Trained {
  /** The folder, which `loadRun` opens. */
  readonly dir: string
  /** The file of the report. */
  readonly report: string
  readonly summary: RunSummary
}

export interface Session {
  readonly experiment: Experiment
  /** Functions of the program that defined it. */
  readonly own?: Own
  readonly owned: Owned
  /** The folder as a person would type it. */
  readonly dir: string
  readonly resume: boolean
  /** By its name, or itself. */
  readonly executor: string | Executor
  readonly tell: Sink
  readonly stopping: () => boolean
  /** What a person has typed to begin it. */
  readonly command?: string
  /** The processes that train with this one, their rank 0. */
  readonly group?: Group
}

/** Seconds that each stage takes, and the steps that are done in them. */
const timed = () => {
  const times = new Map<string, StageTime>()
  let [began, steps] = [performance.now(), 0]
  const clock: Sink = (event) =>
    TE.fromIO(() => {
      if (event.kind === 'stage') [began, steps] = [performance.now(), 0]
      if (event.kind === 'step') steps++
      if (event.kind === 'stage-done') times.set(event.stage, { seconds: (performance.now() - began) / 1000, steps })
    })
  return { times, clock }
}

const trained = ({
  experiment,
  own = {},
  owned,
  dir,
  resume,
  executor: asked,
  tell: sink,
  stopping,
  command,
  group,
  leads,
}: Session & Pick<RunOptions, 'leads'>): Effect<Trained> =>
  effect(async (run) => {
    const choosing =
      typeof asked === 'string' ? chooseExecutor(asked) : TE.right({ executor: asked, reason: 'as given' })
    const { executor: chosen, reason } = await run(group === undefined ? choosing : unlessLost(group)(choosing))
    const executor = group === undefined ? chosen : whileJoined(chosen, group)
    const { times, clock } = timed()
    const tell = sinks(clock, sink)
    const typed = command === undefined ? {} : { command }
    await run(
      tell({ kind: 'run', name: experiment.name, dir, executor: executor.name, reason, resumed: resume, ...typed }),
    )
    await run(imaging)
    const curves = await curvesCanBeDrawn()
    if (E.isLeft(curves))
      await run(tell(note(`loss-curves.svg and loss-curves.png are left out\n${showErrors(curves.left)}`)))
    const summary = await run(
      trainExperiment(experiment, {
        ...{ dir: owned.dir, owned, executor, resume, tell, openBase, openTexts, own },
        ...(leads === undefined ? {} : { leads }),
        stopping: () => stopping() || group?.stopAsked() === true,
        resumeCommand: (settings) => resumeCommand(dir, settings),
      }),
    )
    await run(tell(doing('writing the report')))
    const metrics = await run(
      stageMetrics(
        owned.dir,
        stagesOf(summary.plan).map(({ name }) => name),
      ),
    )
    const data = await run(
      reportData({ summary, times, metrics, executor: executor.name, dir, folder: owned.dir, ...typed }),
    )
    await run(owned.held)
    const report = await run(writeReport(owned.dir, data, metrics, E.isRight(curves)))
    await run(tell({ kind: 'done', dir, report }))
    return { dir: owned.dir, report, summary }
  })

/** Tells the others how it has ended. */
const dismiss = async (group: Group, leads: Leader | undefined, ended: Checked<unknown>): Promise<void> => {
  if (E.isLeft(ended) && !isStop(ended.left)) return group.fail(showErrors(ended.left))
  leads?.say({ kind: 'over', how: E.isRight(ended) ? 'done' : 'stopped' })
  await group.leave()
}

/** Trains in a folder that is owned, and tells how it ends. Errors: those of `trainExperiment`, of the executor and of the sink. */
export const trainIn = (given: Session): Effect<Trained> =>
  effect(async (run) => {
    const { owned, dir, group } = given
    const tell = sinks(liveReport(owned.dir, owned.held, given.tell), given.tell)
    const leads = group === undefined ? undefined : leading(group)
    const ended = await trained({ ...given, tell, ...(leads === undefined ? {} : { leads }) })()
    if (group !== undefined) await dismiss(group, leads, ended)
    if (E.isLeft(ended))
      await run(
        tell(isStop(ended.left) ? { kind: 'stopped', dir } : { kind: 'failed', dir, error: showErrors(ended.left) }),
      )
    return run(TE.fromEither(ended))
  })

/** How an experiment is trained from a program. */
export interface TrainOptions {
  /** The folder of the run; a new one below `runs/` where left out. */
  readonly out?: string
  /** Goes on with the run of that folder, or with the newest one. */
  readonly resume?: boolean
  /** By its name, or itself; that of the experiment where left out. */
  readonly executor?: string | Executor
  /** Told of all that happens, one event after the other; training goes on when its promise is fulfilled. */
  readonly onEvent?: (event: TrainingEvent) => void | Promise<void>
  /** What else is told. */
  readonly sinks?: readonly Sink[]
  /** Aborted, it ends the training soon, behind a checkpoint, with one error of the tag `stopped`. */
  readonly signal?: AbortSignal
}

const telling =
  (onEvent: TrainOptions['onEvent']): Sink =>
  (event) =>
    effect(async () => onEvent?.(event))

/** A file of JSON lines: every event, with the time in milliseconds since 1970. Errors: `file`. */
export const jsonLines =
  (path: string): Sink =>
  (event) =>
    fileEffect(path, 'a file that can be written', () =>
      appendFile(path, `${JSON.stringify({ time: Date.now(), ...event })}\n`),
    )

/**
 * Trains an experiment, one that `defineExperiment` gave, or the one in a file, as `latentgraph train` does: checkpoints, metrics, previews, samples and a report in a folder
 * of its own. Errors: `config`, `usage`, `file`, `data`, `training`, `stopped`, and those of the sinks.
 *
 * @example
 * const { dir } = await orThrow(
 *   train('graphs/shapes.json', {
 *     out: 'runs/shapes',
 *     onEvent: (event) => {
 *       if (event.kind === 'validation') console.log(event.step, event.metrics['val/loss'])
 *     },
 *   }),
 * )
 * const run = await orThrow(loadRun(dir))
 */
export const train = (experiment: Experiment | Definition | string, o: TrainOptions = {}): Effect<Trained> =>
  effect(async (run) => {
    const { out, resume = false, signal, onEvent, sinks: others = [] } = o
    const {
      experiment: e,
      own = {},
      placed,
    } = typeof experiment === 'string'
      ? { own: {}, ...(await run(loadWritten(experiment, [], completed))) }
      : {
          ...('own' in experiment && 'experiment' in experiment ? experiment : { experiment, own: {} }),
          placed: identity<Errors>,
        }
    const file = typeof experiment === 'string' ? experiment : e.name
    return run(
      pipe(
        inRunFolder({ file, out, resume }, (owned) =>
          trainIn({
            ...{ experiment: e, own, owned, dir: out ?? owned.dir, resume },
            executor: o.executor ?? e.executor,
            tell: sinks(telling(onEvent), ...others),
            stopping: () => signal?.aborted === true,
          }),
        ),
        TE.mapLeft(placed),
      ),
    )
  })
