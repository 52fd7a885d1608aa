import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, type Errors, effect, showErrors } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { asArgument } from '../io/names.ts'
import { pipe, TE } from '../prelude.ts'
import { type Metrics, note, type Sink, type StageName, type TrainingEvent } from '../train/events.ts'
import { type LiveRun, type LiveStage, liveHtml, refresh } from '../train/report/live.ts'
import { resumeCommand } from './resume-command.ts'

/** `report.html` while a run goes, and of one that was stopped or failed; that of a run that is done takes its place. */

interface Told extends LiveStage {
  readonly metrics: (Metrics & { readonly step: number })[]
  readonly previews: { readonly step: number; readonly file: string }[]
  last: number
}
interface State {
  name: string
  dir: string
  executor: string
  command: string | undefined
  readonly stages: Map<StageName, Told>
  ended: LiveRun['ended']
}

const remembered = (state: State, event: TrainingEvent): void => {
  if (event.kind === 'run') {
    const { name, dir, executor, command } = event
    Object.assign(state, { name, dir, executor, command })
  }
  if (event.kind === 'stage') {
    const { stage, steps, done } = event
    state.stages.set(stage, { stage, steps, from: done, last: done, began: Date.now(), metrics: [], previews: [] })
  }
  if (event.kind === 'stopped') state.ended = { what: 'Stopped' }
  if (event.kind === 'failed') state.ended = { what: 'Failed', text: event.error }
  const told = 'stage' in event ? state.stages.get(event.stage) : undefined
  if (told === undefined) return
  if (event.kind === 'step') told.last = event.step
  if (event.kind === 'step') told.metrics.push({ step: event.step, ...event.metrics })
  if (event.kind === 'validation') {
    const line = told.metrics.findLastIndex(({ step }) => step === event.step)
    const before = told.metrics[line]
    if (before !== undefined) told.metrics[line] = { ...before, ...event.metrics }
  }
  if (event.kind === 'preview') told.previews.push(...event.files.map((file) => ({ step: event.step, file })))
  if (event.kind === 'rewound') {
    told.last = event.step
    told.metrics.splice(0, told.metrics.length, ...told.metrics.filter(({ step }) => step <= event.step))
  }
}

const runOf = ({ name, dir, executor, command, stages, ended }: State): LiveRun => ({
  ...{ name, executor, ended, stages: [...stages.values()] },
  commands: [
    ...(command === undefined ? [] : [{ what: 'This run', command }]),
    ...(ended === undefined
      ? [{ what: 'Draw by it, as it is by now', command: `npx latentgraph serve ${asArgument(dir)}` }]
      : [{ what: 'Go on', command: resumeCommand(dir) }]),
  ],
})

/**
 * Tells of a run in `report.html` of its folder: every few seconds while it goes, and where it was stopped or failed behind the beginning of
 * a stage; while the folder is `held`. No run ends because this page cannot be written: that is told once, and what the run needs
 * itself fails by itself.
 */
export const liveReport = (folder: string, held: Effect<void>, tell: Sink): Sink => {
  const state: State = { name: '', dir: folder, executor: '', command: undefined, stages: new Map(), ended: undefined }
  let written = Number.NEGATIVE_INFINITY
  let isTold = false
  const path = join(folder, 'report.html')
  const write = (now: number): Effect<void> =>
    effect(async (run) => {
      if (!existsSync(join(folder, 'experiment.json'))) return
      written = now
      await run(held)
      await run(writeFileAtomic(path, new TextEncoder().encode(liveHtml(runOf(state), folder, now))))
    })
  const unwritten = (errors: Errors): Effect<void> => {
    if (isTold) return TE.right(undefined)
    isTold = true
    return tell(note(`the report cannot be written; the run goes on without:\n${showErrors(errors)}`))
  }
  return (event) => {
    remembered(state, event)
    const now = Date.now()
    const isDue = event.kind !== 'done' && now - written >= refresh * 1000
    return state.stages.size > 0 && (state.ended !== undefined || isDue)
      ? pipe(write(now), TE.orElse(unwritten))
      : TE.right(undefined)
  }
}
