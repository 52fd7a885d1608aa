import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { pipe, TE } from '../prelude.ts'
import type { Metrics, Sink, StageName, TrainingEvent } from '../train/events.ts'
import { showDuration } from '../train/progress.ts'
import { escapeHtml } from '../train/report/html.ts'
import { style } from '../train/report/style.ts'
import { resumeCommand } from './resume-command.ts'

/** `report.html` while a run goes, and of one that was stopped or failed; that of a run that is done takes its place. */

interface Told {
  readonly steps: number
  readonly from: number
  readonly began: number
  readonly lines: { readonly step: number; readonly metrics: Metrics }[]
  readonly previews: { readonly step: number; readonly file: string }[]
  last: number
}
interface State {
  name: string
  dir: string
  executor: string
  readonly stages: Map<StageName, Told>
  ended: { readonly what: string; readonly text?: string } | undefined
}

/** Seconds between two pages. */
const every = 10
const [wide, high] = [280, 90] as const
/** More points are finer than a pixel. */
const most = 400

type Points = readonly (readonly [step: number, value: number])[]
const pointsOf = ({ lines }: Told, metric: string): Points =>
  lines.flatMap(({ step, metrics }) => {
    const value = metrics[metric]
    return value === undefined || !Number.isFinite(value) ? [] : [[step, value] as const]
  })
const shown = (x: number): string => `${Number(x.toPrecision(4))}`

/** One metric over the steps; linear, from its least to its greatest. */
const curve = (metric: string, points: Points, steps: number): string => {
  const values = points.map(([, value]) => value)
  const [low, highest] = [Math.min(...values), Math.max(...values)]
  const stride = Math.ceil(points.length / most)
  const drawn = points.filter((_, i) => i % stride === 0 || i === points.length - 1)
  const line = drawn.map(([step, value]) => {
    const y = highest > low ? high - 4 - ((high - 8) * (value - low)) / (highest - low) : high / 2
    return `${((wide * step) / Math.max(1, steps)).toFixed(1)},${y.toFixed(1)}`
  })
  const mark = metric.startsWith('val/') ? drawn.map((_, i) => line[i]?.split(',') ?? []) : []
  return `<figure><figcaption><b>${escapeHtml(metric)}</b> ${shown(values.at(-1) ?? 0)}<br>from ${shown(low)} to ${shown(highest)}</figcaption><svg viewBox="0 0 ${wide} ${high}" role="img" aria-label="${escapeHtml(metric)} over steps"><polyline points="${line.join(' ')}"/>${mark.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="2.5"/>`).join('')}</svg></figure>`
}

const stageHtml = (name: string, told: Told, dir: string, now: number, goesOn: boolean): string => {
  const metrics = [...new Set(told.lines.flatMap((l) => Object.keys(l.metrics)))]
  const seconds = (now - told.began) / 1000
  const rate = seconds > 0 ? (told.last - told.from) / seconds : 0
  const pace =
    goesOn && rate > 0 && told.last < told.steps
      ? `, ${shown(rate)} steps a second, ${showDuration((told.steps - told.last) / rate)} to go`
      : ''
  const strip = told.previews.map(({ step, file }) => {
    const path = escapeHtml(encodeURI(relative(dir, file).split('\\').join('/')))
    return `<a href="${path}"><img src="${path}" alt="after step ${step}" loading="lazy"><small>${step}</small></a>`
  })
  return `
  <section>
    <h2>${escapeHtml(name)}</h2>
    <p class="made">step ${told.last} of ${told.steps}${pace}</p>
    <progress max="${told.steps}" value="${told.last}"></progress>
    ${strip.length === 0 ? '' : `<div class="strip">${strip.join('')}</div>`}
    <div class="curves">${metrics.map((metric) => curve(metric, pointsOf(told, metric), told.steps)).join('')}</div>
  </section>`
}

const ownStyle = `
progress { width: 100%; } .strip { display: flex; gap: 0.6rem; overflow-x: auto; margin-top: 0.8rem; }
.strip img { height: 11rem; max-width: none; border: 1px solid var(--line); border-radius: 6px; } .strip small { color: var(--quiet); }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: 1rem; margin-top: 1rem; }
.curves svg { width: 100%; border: 1px solid var(--line); border-radius: 6px; } polyline { fill: none; stroke: #3b82c4; stroke-width: 1.4; } circle { fill: #2da44e; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 0.8rem; background: var(--wash); border: 1px solid var(--line); border-radius: 6px; }
`
const page = ({ name, dir, executor, stages, ended }: State, folder: string, now: number): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${ended === undefined ? `<meta http-equiv="refresh" content="${every}">` : ''}
<title>${escapeHtml(name)} - latentgraph</title>
<style>${style}${ownStyle}</style>
</head>
<body>
<main>
  <header>
    <h1>${escapeHtml(name)}</h1>
    <p>${ended === undefined ? 'Training' : escapeHtml(ended.what)}, on ${escapeHtml(executor)}.${ended === undefined ? ` This page loads itself anew every ${every} seconds.` : ''}</p>
  </header>
${ended?.text === undefined ? '' : `  <pre>${escapeHtml(ended.text)}</pre>`}
${ended === undefined ? '' : `  <dl class="next"><dt>Go on</dt><dd><code>${escapeHtml(resumeCommand(dir))}</code></dd></dl>`}
${[...stages].map(([stage, told]) => stageHtml(stage, told, folder, now, ended === undefined)).join('')}
</main>
</body>
</html>
`

/**
 * Tells of a run in `report.html` of its folder: every few seconds while it goes, and where it was stopped or failed behind the beginning of
 * a stage; while the folder is `held`. No run ends because this page cannot be written: what it needs itself fails by itself.
 */
export const liveReport = (folder: string, held: Effect<void>): Sink => {
  const state: State = { name: '', dir: folder, executor: '', stages: new Map(), ended: undefined }
  let written = Number.NEGATIVE_INFINITY
  const note = (event: TrainingEvent): void => {
    if (event.kind === 'run') Object.assign(state, { name: event.name, dir: event.dir, executor: event.executor })
    if (event.kind === 'stage')
      state.stages.set(event.stage, {
        ...{ steps: event.steps, from: event.done, last: event.done, began: Date.now(), lines: [], previews: [] },
      })
    if (event.kind === 'stopped') state.ended = { what: 'Stopped' }
    if (event.kind === 'failed') state.ended = { what: 'Failed', text: event.error }
    const told = 'stage' in event ? state.stages.get(event.stage) : undefined
    if (told === undefined) return
    if (event.kind === 'step') told.last = event.step
    if (event.kind === 'step' || event.kind === 'validation')
      told.lines.push({ step: event.step, metrics: event.metrics })
    if (event.kind === 'preview') told.previews.push(...event.files.map((file) => ({ step: event.step, file })))
    if (event.kind === 'rewound') {
      told.last = event.step
      told.lines.splice(0, told.lines.length, ...told.lines.filter(({ step }) => step <= event.step))
    }
  }
  const write = (now: number): Effect<void> =>
    effect(async (run) => {
      if (!existsSync(join(folder, 'experiment.json'))) return
      written = now
      await run(held)
      await run(writeFileAtomic(join(folder, 'report.html'), new TextEncoder().encode(page(state, folder, now))))
    })
  return (event) => {
    note(event)
    const now = Date.now()
    const isDue = event.kind !== 'done' && now - written >= every * 1000
    return state.stages.size > 0 && (state.ended !== undefined || isDue)
      ? pipe(
          write(now),
          TE.orElse((): Effect<void> => TE.right(undefined)),
        )
      : TE.right(undefined)
  }
}
