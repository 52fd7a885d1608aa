import { type Chart, chartSection, type Series } from './chart.ts'
import { type Curve, curvesOf, type StageMetrics } from './curves.ts'
import { escapeHtml } from './escape.ts'
import { dataUri, wideTable } from './html.ts'
import { pageHtml, zoomable } from './page.ts'

/** Runs beside each other as one page. */

export interface ComparedRun {
  /** Its folder, by which it is named. */
  readonly dir: string
  readonly metrics: readonly StageMetrics[]
  /** What is worth a row of a table. */
  readonly figures: readonly { readonly name: string; readonly value: number }[]
  /** PNG. */
  readonly samples?: Uint8Array
}
export interface Comparison {
  readonly runs: readonly ComparedRun[]
  /** Of what they draw. */
  readonly seed: number | undefined
  /** Where experiments are not the same: a value for each run. */
  readonly differences: readonly { readonly pointer: string; readonly values: readonly string[] }[]
}

export const shownFigure = (value: number | undefined): string =>
  value === undefined ? '-' : `${Number(value.toPrecision(4))}`

/** A row a figure, with that of each run. */
export const figureRows = (runs: Comparison['runs']): readonly (readonly string[])[] => {
  const names = [...new Set(runs.flatMap(({ figures }) => figures.map(({ name }) => name)))]
  return names.map((name) => [
    name,
    ...runs.map(({ figures }) => shownFigure(figures.find((figure) => figure.name === name)?.value)),
  ])
}

const isLogarithmic = (series: readonly Series[]): boolean => {
  const values = series.flatMap(({ points }) => points.map(([, y]) => y))
  const least = Math.min(...values)
  return least > 0 && Math.max(...values) / least > 4
}

type Part = 'trained on' | 'held out'
const pointsOf = ({ points, heldOut }: Curve, part: Part): Series['points'] =>
  part === 'trained on'
    ? points.map(({ step, smooth }) => [step, smooth] as const)
    : (heldOut.at(-1)?.points ?? []).map(({ step, value }) => [step, value] as const)

/** A chart for each metric, with a curve a run: trained on and held out by themselves. */
export const comparedCharts = (runs: Comparison['runs']): readonly Chart[] => {
  const curves = runs.map(({ metrics }) => curvesOf(metrics))
  const keys = [...new Set(curves.flat().map(({ stage, metric }) => `${stage}: ${metric}`))]
  return keys.flatMap((key) =>
    (['trained on', 'held out'] as const).flatMap((part): readonly Chart[] => {
      const series = runs.flatMap(({ dir }, i): readonly Series[] => {
        const own = curves[i]?.find(({ stage, metric }) => `${stage}: ${metric}` === key)
        const points = own === undefined ? [] : pointsOf(own, part)
        return points.length === 0 ? [] : [{ name: dir, points, colour: i, dots: part === 'held out' }]
      })
      return series.length === 0
        ? []
        : [{ title: `${key}, ${part}`, along: 'step', series, log: isLogarithmic(series) }]
    }),
  )
}

const samplesHtml = ({ runs, seed }: Comparison): string =>
  seed === undefined || runs.every(({ samples }) => samples === undefined)
    ? ''
    : `
  <section>
    <h2>Samples of seed ${seed}</h2>
    <div class="beside">${runs
      .map(
        ({ dir, samples }) =>
          `<figure><figcaption>${escapeHtml(dir)}</figcaption>${samples === undefined ? '<p class="made">draws nothing</p>' : zoomable(dataUri('image/png', samples), `samples of ${dir}`)}</figure>`,
      )
      .join('')}</div>
  </section>`

/** The page; it needs no other file. */
export const compareHtml = (comparison: Comparison): string => {
  const { runs, differences } = comparison
  const names = runs.map(({ dir }) => dir)
  return pageHtml({
    title: names.join(', '),
    lead: `${names.length} runs beside each other.`,
    body: `
  <section>
    <h2>Where they differ</h2>
${
  differences.length === 0
    ? '    <p class="made">Their experiments are the same.</p>'
    : wideTable(
        ['field', ...names],
        differences.map(({ pointer, values }) => [pointer, ...values]),
      )
}
  </section>
  <section>
    <h2>What they came to</h2>
${wideTable(['last', ...names], figureRows(runs))}
  </section>
${samplesHtml(comparison)}
${chartSection('Curves', comparedCharts(runs), 'Smoothed over a twentieth of each run; dots: pictures held out, with averaged weights where there are some.')}`,
  })
}
