import { relative } from 'node:path'
import { showDuration } from '../progress.ts'
import { type Chart, chartFigure } from './chart.ts'
import { chartOf, curvesOf, otherCharts, type StageMetrics } from './curves.ts'
import { escapeHtml } from './escape.ts'
import { type Command, commandList, filmStrip, pageHtml } from './page.ts'

/** The report of a run that goes on, or was stopped or failed. */

export interface LiveStage extends StageMetrics {
  readonly steps: number
  /** Steps that were done when it began here, and are done now. */
  readonly from: number
  readonly last: number
  /** Milliseconds since 1970. */
  readonly began: number
  readonly previews: readonly { readonly step: number; readonly file: string }[]
}
export interface LiveRun {
  readonly name: string
  readonly executor: string
  readonly stages: readonly LiveStage[]
  readonly ended: { readonly what: string; readonly text?: string } | undefined
  readonly commands: readonly Command[]
}

/** Seconds between two pages. */
export const refresh = 10

const rateOf = ({ last, from, began }: LiveStage, now: number): number =>
  now > began ? (1000 * (last - from)) / (now - began) : 0

const paceOf = (stage: LiveStage, now: number): string => {
  const rate = rateOf(stage, now)
  return rate > 0 && stage.last < stage.steps
    ? `, ${Number(rate.toPrecision(3))} steps a second, ${showDuration((stage.steps - stage.last) / rate)} to go`
    : ''
}

/** Where a picture of a run is, for a page in its folder. */
const addressOf = (folder: string, file: string): string =>
  escapeHtml(encodeURI(relative(folder, file).split('\\').join('/')))

const stageHtml = (stage: LiveStage, folder: string, now: number, goesOn: boolean): string => {
  const { steps, last, previews } = stage
  const charts: readonly Chart[] = [...curvesOf([stage]).map(chartOf), ...otherCharts([stage])]
  const frames = previews.map(({ step, file }) => ({ step, source: addressOf(folder, file) }))
  return `
  <section>
    <h2>${escapeHtml(stage.stage)}</h2>
    <p class="made">step ${last} of ${steps}${goesOn ? paceOf(stage, now) : ''}</p>
    <progress max="${steps}" value="${last}"></progress>
    ${frames.length === 0 ? '' : filmStrip(frames)}
    <div class="charts">${charts.map(chartFigure).join('')}</div>
  </section>`
}

/** The page, for the run's folder. */
export const liveHtml = ({ name, executor, stages, ended, commands }: LiveRun, folder: string, now: number): string =>
  pageHtml({
    title: name,
    lead: `${ended === undefined ? 'Training' : escapeHtml(ended.what)}, on ${escapeHtml(executor)}.${ended === undefined ? ` This page loads itself anew every ${refresh} seconds.` : ''}`,
    ...(ended === undefined ? { refresh } : {}),
    body: `${ended?.text === undefined ? '' : `  <pre>${escapeHtml(ended.text)}</pre>\n`}${stages
      .map((stage) => stageHtml(stage, folder, now, ended === undefined))
      .join('')}
  <section>
    <h2>Commands</h2>
    ${commandList(commands)}
  </section>`,
  })
