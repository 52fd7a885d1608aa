import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { loadExperiment } from '../experiment/load.ts'
import { ownerOf } from '../io/owner.ts'
import { E, pipe, TE } from '../prelude.ts'
import { lineOf } from '../run/report-data.ts'
import type { Register } from './command.ts'
import { tableText } from './table.ts'
import { exitCodes } from './terminal.ts'

/** What there is in a folder of runs, of files alone: nothing is loaded. */

interface StageState {
  readonly stage: string
  readonly done: number
  readonly steps: number
  /** Of the last step; undefined before the first. */
  readonly loss: number | undefined
}
interface RunState {
  readonly dir: string
  readonly name: string
  readonly state: string
  readonly stages: readonly StageState[]
  readonly changed: Date
}

const trainingsOf = ({ firstStage, diffusion }: Experiment): readonly (readonly [string, number])[] => [
  ...(firstStage.kind === 'identity' ? [] : [['first-stage', firstStage.training.steps] as const]),
  ...(diffusion === undefined ? [] : [['diffusion', diffusion.training.steps] as const]),
]

/** Of the last whole line of `metrics.jsonl`: one that is being written is not read. */
const stageState = async (dir: string, stage: string, steps: number): Promise<StageState> => {
  const path = join(dir, stage, 'metrics.jsonl')
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => line.endsWith('}'))
  const last = lines
    .map((line) =>
      pipe(
        lineOf(line, path),
        E.getOrElse((): Readonly<Record<string, number>> => ({})),
      ),
    )
    .at(-1)
  return { stage, steps, done: last?.step ?? 0, loss: last?.loss }
}

const changedIn = async (dir: string): Promise<Date> => {
  const places = ['experiment.json', 'report.html', 'first-stage/metrics.jsonl', 'diffusion/metrics.jsonl']
  const times = await Promise.all(
    places.map((p) =>
      stat(join(dir, p)).then(
        (s) => s.mtimeMs,
        () => 0,
      ),
    ),
  )
  return new Date(Math.max(...times))
}

const stateOf = (owner: Awaited<ReturnType<typeof ownerOf>>, stages: readonly StageState[]): string => {
  if (owner !== undefined) return owner === 'runs' ? 'at work' : 'another machine has it'
  return stages.slice(-1).every(({ done, steps }) => done >= steps) ? 'done' : 'stopped'
}

/** The state of the run in a folder; undefined where there is none. */
export const runState = (dir: string): Promise<RunState | undefined> =>
  pipe(
    loadExperiment(join(dir, 'experiment.json')),
    TE.match(
      () => undefined,
      (e) => e,
    ),
  )().then(async (e) => {
    if (e === undefined) return undefined
    const stages = await Promise.all(trainingsOf(e).map(([stage, steps]) => stageState(dir, stage, steps)))
    return { dir, name: e.name, stages, state: stateOf(await ownerOf(dir), stages), changed: await changedIn(dir) }
  })

const inFull = (at: Date): string => at.toISOString().slice(0, 16).replace('T', ' ')
const text = (runs: readonly RunState[]): string => {
  const rows = runs.map(({ dir, name, state, stages, changed }) => [
    dir,
    name,
    state,
    stages.map(({ stage, done, steps }) => `${stage} ${done}/${steps}`).join(', '),
    stages.map(({ loss }) => (loss === undefined ? '-' : String(Number(loss.toPrecision(4))))).join(', '),
    inFull(changed),
  ])
  const all = [['run', 'name', 'state', 'steps', 'last losses', 'changed (UTC)'], ...rows]
  return tableText(all)
}

const listed = (folder: string): Effect<string> =>
  effect(async (run) => {
    const names = await readdir(folder).catch(() => undefined)
    if (names === undefined)
      return run(
        TE.fromEither(fail('file', folder, 'a folder of runs', 'nothing', 'latentgraph train makes one in runs/')),
      )
    const runs = (await Promise.all(names.map((name) => runState(join(folder, name))))).flatMap((r) => r ?? [])
    const newest = runs.toSorted((a, b) => b.changed.getTime() - a.changed.getTime())
    return newest.length === 0 ? `no runs in ${folder}\n` : text(newest)
  })

export const list: Register = (command, { terminal, run }) => {
  command.argument('[folder]', 'where the runs lie', 'runs').action((folder: string) =>
    run(
      pipe(
        listed(folder),
        TE.map((found) => {
          terminal.out(found)
          return exitCodes.done
        }),
      ),
    ),
  )
}
