import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { type Effect, type Errors, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'

/** What a stage of training measured: a line a step of its `metrics.jsonl`. */
export interface StageMetrics {
  readonly stage: string
  readonly metrics: readonly { readonly step: number; readonly [metric: string]: number }[]
}

/** One metric of one stage, drawn in its own panel. */
export interface Curve {
  readonly stage: string
  readonly metric: string
  readonly points: readonly Point[]
}
interface Point {
  readonly step: number
  readonly value: number
  /** Exponentially weighted mean of the values up to here. */
  readonly smooth: number
}

/** Weight of the past in the smoothed line, so that it looks back over about a twentieth of the run. */
const memory = (count: number): number => 1 - 1 / Math.max(1, count / 20)

/** The mean is corrected for its start at 0, as in Adam (Kingma and Ba 2015, section 3). */
const smoothed = (values: readonly { readonly step: number; readonly value: number }[]): readonly Point[] => {
  const decay = memory(values.length)
  const mean = { sum: 0, weight: 0 }
  return values.map(({ step, value }) => {
    mean.sum = decay * mean.sum + (1 - decay) * value
    mean.weight = decay * mean.weight + (1 - decay)
    return { step, value, smooth: mean.sum / mean.weight }
  })
}

/** At most this many points are drawn: more are finer than a pixel. */
const resolution = 800
const thin = <A>(points: readonly A[]): readonly A[] => {
  const stride = Math.ceil(points.length / resolution)
  return points.filter((_, i) => i % stride === 0 || i === points.length - 1)
}

/** A metric of which another one is a multiple tells nothing new. */
const proportional = (a: Curve, b: Curve): boolean => {
  const ratios = a.points.map(({ value }, i) => value / (b.points[i]?.value ?? Number.NaN))
  return ratios.every((r) => Math.abs(r / (ratios[0] ?? Number.NaN) - 1) < 1e-3)
}

const curve = ({ stage, metrics }: StageMetrics, metric: string): Curve => ({
  stage,
  metric,
  points: smoothed(
    metrics.flatMap((m) => {
      const value = m[metric]
      return value === undefined || !Number.isFinite(value) ? [] : [{ step: m.step, value }]
    }),
  ),
})

const curvesOfStage = (stage: StageMetrics): readonly Curve[] =>
  [...new Set(stage.metrics.flatMap((m) => Object.keys(m)))]
    .filter((metric) => metric.includes('loss'))
    .toSorted((a, b) => Number(b === 'loss') - Number(a === 'loss'))
    .map((metric) => curve(stage, metric))
    .filter(({ points }) => points.some(({ value }) => value !== points[0]?.value))
    .reduce<readonly Curve[]>((kept, c) => (kept.some((k) => proportional(k, c)) ? kept : [...kept, c]), [])

/** The losses that are worth a panel: they change, and no other is their multiple. The stage's total loss first. */
export const curvesOf = (stages: readonly StageMetrics[]): readonly Curve[] => stages.flatMap(curvesOfStage)

/** A logarithmic axis shows a fall over orders of magnitude; it needs numbers above 0. */
const logarithmic = ({ points }: Curve): boolean => {
  const least = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const smooth = points.map((p) => p.smooth)
  return least(points.map((p) => p.value)) > 0 && -least(smooth.map((v) => -v)) / least(smooth) > 4
}

const font = 'DejaVu Sans, Helvetica, Arial, sans-serif'
const ink = '#24292f'
const hue = ['#2f6f9f', '#b3541e']

const panel = (curve: Curve, colour: string) => {
  const y = (field: 'value' | 'smooth') => ({
    field,
    type: 'quantitative' as const,
    title: curve.metric,
    scale: logarithmic(curve) ? { type: 'log' as const, nice: true } : { zero: false },
    axis: { tickCount: 5, format: '~g' },
  })
  const x = { field: 'step', type: 'quantitative' as const, title: 'step', axis: { tickCount: 5 } }
  return {
    title: { text: `${curve.stage}: ${curve.metric}`, anchor: 'start' as const, fontSize: 13, color: ink },
    width: 380,
    height: 200,
    data: { values: thin(curve.points).map((p) => ({ ...p })) },
    layer: [
      {
        mark: { type: 'line' as const, color: colour, opacity: 0.25, strokeWidth: 1, clip: true },
        encoding: { x, y: y('value') },
      },
      { mark: { type: 'line' as const, color: colour, strokeWidth: 2, clip: true }, encoding: { x, y: y('smooth') } },
    ],
  }
}

const specOf = (stages: readonly StageMetrics[], curves: readonly Curve[]): TopLevelSpec => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: '#ffffff',
  padding: 12,
  columns: 2,
  spacing: 28,
  concat: curves.map((c) => panel(c, hue[stages.findIndex(({ stage }) => stage === c.stage) % hue.length] ?? ink)),
  config: {
    font,
    view: { stroke: null },
    axis: {
      labelFontSize: 10,
      titleFontSize: 11,
      titleFontWeight: 'normal',
      labelColor: '#57606a',
      titleColor: '#57606a',
      gridColor: '#e6e8eb',
      domain: false,
      ticks: false,
      labelPadding: 6,
    },
  },
})

/**
 * The curves of every metric as an SVG: a smoothed line over the measured one, a panel a metric, a colour a stage.
 * Errors: `run`, where there is nothing to draw.
 */
export const lossCurves = (stages: readonly StageMetrics[]): Effect<string> => {
  const curves = curvesOf(stages)
  if (curves.length === 0)
    return TE.left([failure('run', 'loss curves', 'metrics of at least two steps', `${curves.length} curves`)])
  return TE.tryCatch(
    () => new View(parse(compile(specOf(stages, curves)).spec), { renderer: 'none' }).toSVG(),
    (reason): Errors => [failure('run', 'loss curves', 'a chart', reasonOf(reason))],
  )
}
