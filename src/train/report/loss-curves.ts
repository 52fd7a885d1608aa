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
  /** Mean of the values around. */
  readonly smooth: number
}

/** Means over windows of a twentieth of the run, cut at the end, and even on both sides at the start, where losses fall. */
const smoothed = (values: readonly { readonly step: number; readonly value: number }[]): readonly Point[] => {
  const half = Math.floor(values.length / 40)
  const sums = [0]
  for (const { value } of values) sums.push((sums.at(-1) ?? 0) + value)
  return values.map(({ step, value }, i) => {
    const from = i - Math.min(half, i)
    const to = Math.min(i + Math.min(half, i), values.length - 1) + 1
    return { step, value, smooth: from + 1 === to ? value : ((sums[to] ?? 0) - (sums[from] ?? 0)) / (to - from) }
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

/** The losses that are worth a panel: they change, and no other is their multiple. The stage's total loss first. */
export const curvesOf = (stages: readonly StageMetrics[]): readonly Curve[] =>
  stages.flatMap((stage) =>
    [...new Set(stage.metrics.flatMap((m) => Object.keys(m)))]
      .filter((metric) => metric.includes('loss'))
      .toSorted((a, b) => Number(b === 'loss') - Number(a === 'loss'))
      .map((metric) => curve(stage, metric))
      .filter(({ points }) => points.some(({ value }) => value !== points[0]?.value))
      .filter((c, i, all) => !all.slice(0, i).some((before) => proportional(before, c))),
  )

const extent = (values: readonly number[]): readonly [number, number] =>
  values.reduce<readonly [number, number]>(
    ([low, high], v) => [Math.min(low, v), Math.max(high, v)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  )

/** 1, 2 and 5 times powers of ten; powers alone where the range is wide. */
const logTicks = ([low, high]: readonly [number, number]): readonly number[] => {
  const from = Math.floor(Math.log10(low))
  const to = Math.ceil(Math.log10(high))
  const powers = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  return (to - from > 3 ? powers : powers.flatMap((p) => [p, 2 * p, 5 * p])).filter((v) => v >= low && v <= high)
}

/** A logarithmic axis shows a fall over orders of magnitude; it needs numbers above 0. */
const valueAxis = ({ points }: Curve) => {
  const range = extent(points.map(({ value }) => value))
  const [low, high] = extent(points.map(({ smooth }) => smooth))
  return range[0] > 0 && high / low > 4
    ? { scale: { type: 'log' as const, nice: false }, axis: { values: [...logTicks(range)], labelExpr: 'datum.value' } }
    : { scale: { zero: false }, axis: { tickCount: 5 } }
}

const font = 'DejaVu Sans, Helvetica, Arial, sans-serif'
const ink = '#24292f'
const hue = ['#2f6f9f', '#b3541e']

const panel = (drawn: Curve, colour: string) => {
  const y = (field: 'value' | 'smooth') => ({
    field,
    type: 'quantitative' as const,
    title: drawn.metric,
    ...valueAxis(drawn),
  })
  const x = { field: 'step', type: 'quantitative' as const, title: 'step', axis: { tickCount: 5 } }
  return {
    title: {
      text: `${drawn.stage}: ${drawn.metric}`,
      anchor: 'start' as const,
      frame: 'group' as const,
      fontSize: 12,
      color: ink,
    },
    width: 280,
    height: 180,
    data: { values: thin(drawn.points).map((p) => ({ ...p })) },
    layer: [
      {
        mark: { type: 'line' as const, color: colour, opacity: 0.3, strokeWidth: 1 },
        encoding: { x, y: y('value') },
      },
      { mark: { type: 'line' as const, color: colour, strokeWidth: 2 }, encoding: { x, y: y('smooth') } },
    ],
  }
}

const specOf = (stages: readonly StageMetrics[], curves: readonly Curve[]): TopLevelSpec => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: '#ffffff',
  padding: 10,
  spacing: 24,
  vconcat: stages
    .map(({ stage }, i) => curves.filter((c) => c.stage === stage).map((c) => panel(c, hue[i % hue.length] ?? ink)))
    .filter((row) => row.length > 0)
    .map((row) => ({ hconcat: row, spacing: 24 })),
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
 * The curves of every metric as an SVG: a smoothed line over the measured one, a panel a metric, a row a stage; undefined where
 * there is nothing to draw, as of stages that were imported. Errors: `run`.
 */
export const lossCurves = (stages: readonly StageMetrics[]): Effect<string | undefined> => {
  const curves = curvesOf(stages)
  return curves.length === 0
    ? TE.right(undefined)
    : TE.tryCatch(
        () => new View(parse(compile(specOf(stages, curves)).spec), { renderer: 'none' }).toSVG(),
        (reason): Errors => [failure('run', 'loss curves', 'a chart', reasonOf(reason))],
      )
}
