import { join } from 'node:path'
import { type Effect, effect } from '../../error.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import { pipe, TE } from '../../prelude.ts'
import { chartOf, curvesOf, otherCharts, type StageMetrics } from './curves.ts'
import { type ReportData, reportHtml } from './html.ts'
import { lossCurves, plotting } from './loss-curves.ts'
import { fonts, rasterise } from './raster.ts'

export type { Chart } from './chart.ts'
export type { StageMetrics } from './curves.ts'
export type { LabelledGrid, ReportData, StageSummary, Strip } from './html.ts'

/** Nothing, where what draws `loss-curves` is installed. Errors: `run`. */
export const curvesCanBeDrawn: Effect<unknown> = pipe(
  plotting,
  TE.flatMap(() => fonts),
)

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/**
 * Draws a run's losses into `loss-curves.svg` and `loss-curves.png` of a folder; returns the SVG. Where there is nothing to draw
 * it writes nothing. Errors: `run`, `file`.
 */
export const writeLossCurves = (folder: string, stages: readonly StageMetrics[]): Effect<string | undefined> =>
  effect(async (run) => {
    const svg = await run(lossCurves(stages))
    if (svg === undefined) return svg
    await run(writeFileAtomic(join(folder, 'loss-curves.svg'), bytesOf(svg)))
    const picture = join(folder, 'loss-curves.png')
    await run(writeFileAtomic(picture, await run(rasterise(svg, picture))))
    return svg
  })

/**
 * Writes `report.html`, a page that needs no other file, and the loss curves, where there are any and they are asked for, beside it.
 * Returns the page's path. Errors: `run`, `file`.
 */
export const writeReport = (
  folder: string,
  report: ReportData,
  stages: readonly StageMetrics[],
  withCurves = true,
): Effect<string> =>
  effect(async (run) => {
    if (withCurves) await run(writeLossCurves(folder, stages))
    const curves = { losses: curvesOf(stages).map(chartOf), others: otherCharts(stages) }
    const path = join(folder, 'report.html')
    await run(writeFileAtomic(path, bytesOf(reportHtml(report, curves))))
    return path
  })
