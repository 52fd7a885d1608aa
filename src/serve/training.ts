import { constants } from 'node:fs'
import { open, readdir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { autoencoderOf } from '../experiment/document.ts'
import { loadExperiment } from '../experiment/load.ts'
import { isOwned } from '../io/owner.ts'
import type { Point, TrainingEvent } from './api.ts'
import { limits } from './limits.ts'

/** A training as its run's folder tells of it while it grows. */

const stageNames = ['first-stage', 'diffusion'] as const
type StageName = (typeof stageNames)[number]
const isStage = (name: string): name is StageName => stageNames.some((one) => one === name)

/** Where a stage's numbers lie: in a run, or in a model that was made of one. */
const logs = (stage: StageName): readonly string[] => [join(stage, 'metrics.jsonl'), join('log', `${stage}.jsonl`)]

const previewName = /^step-(\d{8})-([a-z-]{1,40})\.png$/

/** Opens a file of the folder to read: itself, and no link out of it. */
const openIn = async (folder: string, path: string) => {
  const [root, real] = await Promise.all([realpath(folder), realpath(join(folder, path))])
  if (!real.startsWith(root + sep)) return undefined
  const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  return undefined
}
const nothing = (): undefined => undefined

/** A preview of a stage; nothing where there is none, or where it is not the folder's own. */
export const previewIn = async (folder: string, stage: string, name: string): Promise<Uint8Array | undefined> => {
  if (!isStage(stage) || !previewName.test(name)) return undefined
  const file = await openIn(folder, join(stage, 'previews', name)).catch(nothing)
  if (file === undefined) return undefined
  try {
    const { size } = await file.stat()
    return size > limits.log.preview ? undefined : new Uint8Array(await file.readFile())
  } finally {
    await file.close()
  }
}

interface Log {
  readonly stage: StageName
  readonly path: string
  /** Bytes that were read. */
  at: number
  /** Of a line that was not whole yet. */
  rest: string
  shown: Set<string>
}

const pointOf = (line: string): readonly Point[] => {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return []
    const numbers = Object.entries(value).filter(
      (field): field is [string, number] => typeof field[1] === 'number' && Number.isFinite(field[1]),
    )
    const point = Object.fromEntries(numbers)
    return 'step' in point ? [point] : []
  } catch {
    return []
  }
}

/** Every so many, that no more are left than are shown. */
const thinned = (points: readonly Point[]): readonly Point[] => {
  const every = Math.ceil(points.length / limits.points)
  return points.filter((_, i) => i % every === 0 || i === points.length - 1)
}

/** What was added to a log since the last look. */
const grown = async (folder: string, log: Log): Promise<TrainingEvent | undefined> => {
  const file = await openIn(folder, log.path).catch(nothing)
  if (file === undefined) return undefined
  try {
    const { size } = await file.stat()
    const fresh = size < log.at || log.at === 0
    if (size < log.at) Object.assign(log, { at: 0, rest: '' })
    const points: Point[] = []
    const buffer = new Uint8Array(2 ** 16)
    const text = new TextDecoder()
    for (let read = 0; read < limits.log.look; ) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, log.at)
      if (bytesRead === 0) break
      log.at += bytesRead
      read += bytesRead
      const lines = (log.rest + text.decode(buffer.subarray(0, bytesRead), { stream: true })).split('\n')
      log.rest = (lines.pop() ?? '').slice(0, limits.log.line)
      points.push(...lines.flatMap(pointOf))
    }
    return points.length === 0 ? undefined : { kind: 'points', stage: log.stage, points: thinned(points), fresh }
  } finally {
    await file.close()
  }
}

const previewsOf = async (folder: string, log: Log, urlOf: (stage: string, name: string) => string) => {
  const names = (await readdir(join(folder, log.stage, 'previews')).catch((): readonly string[] => [])).toSorted()
  return names.flatMap((name): readonly TrainingEvent[] => {
    const [, step, shows] = previewName.exec(name) ?? []
    if (step === undefined || shows === undefined || log.shown.has(name)) return []
    log.shown.add(name)
    const url = urlOf(log.stage, name)
    return [{ kind: 'preview', stage: log.stage, step: Number(step), shows: shows.replaceAll('-', ' '), url }]
  })
}

/** Previews of which are told at first: the last. */
const mostPreviews = 60

/**
 * Tells of a training until `signal` ends it: its stages, points of its curves, its previews, first those that are there.
 * Errors: those of the experiment.
 */
export const follow = (
  folder: string,
  urlOf: (stage: string, name: string) => string,
  send: (event: TrainingEvent) => Promise<void>,
  signal: AbortSignal,
  every: number = limits.look,
): Effect<void> =>
  effect(async (run) => {
    const e = await run(loadExperiment(join(folder, 'experiment.json')))
    const steps = { 'first-stage': autoencoderOf(e)?.training.steps, diffusion: e.diffusion?.training.steps }
    const stages = stageNames.flatMap((name) => {
      const total = steps[name]
      return total === undefined ? [] : [{ name, steps: total }]
    })
    const found: Log[] = stages.flatMap(({ name }) =>
      logs(name).map((path) => ({ stage: name, path, at: 0, rest: '', shown: new Set<string>() })),
    )
    const told: { living?: boolean } = {}
    while (!signal.aborted) {
      const living = await isOwned(folder)
      if (living !== told.living) await send({ kind: 'stages', stages, living })
      told.living = living
      for (const log of found) {
        const points = await grown(folder, log)
        if (points !== undefined) await send(points)
      }
      for (const log of found.filter(({ path, stage }) => path === logs(stage)[0]))
        for (const preview of (await previewsOf(folder, log, urlOf)).slice(-mostPreviews)) await send(preview)
      await pause(every, signal)
    }
  })

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    if (signal.aborted) done()
  })

/** Whether a folder has numbers of a training. */
export const hasTraining = async (folder: string): Promise<boolean> => {
  for (const path of stageNames.flatMap(logs)) {
    const file = await openIn(folder, path).catch(nothing)
    if (file === undefined) continue
    await file.close()
    return true
  }
  return isOwned(folder)
}
