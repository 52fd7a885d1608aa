import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { type Effect, type Errors, failure, reasonOf } from '../../error.ts'
import { validated } from '../../experiment/validation.ts'
import { pipe, TE } from '../../prelude.ts'

/** What a stage of training measured: a line a step of its `metrics.jsonl`. */
export interface StageMetrics {
  readonly stage: string
  readonly metrics: readonly { readonly step: number; readonly [metric: string]: number }[]
}

/** One metric of one stage, drawn in its own panel. */
export interface Curve {
  readonly stage: string
  readonly metric: string
  /** As measured on what is trained on; none of metrics that only held-out pictures have. */
  readonly points: readonly Point[]
  /** As measured on held-out pictures, with the weights as they are and averaged. */
  readonly heldOut: readonly HeldOut[]
}
export interface HeldOut {
  readonly averaged: boolean
  readonly points: readonly { readonly step: number; readonly value: number }[]
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

const measured = ({ metrics }: StageMetrics, name: string) =>
  metrics.flatMap((m) => {
    const value = m[name]
    return value === undefined || !Number.isFinite(value) ? [] : [{ step: m.step, value }]
  })

const curve = (stage: StageMetrics, metric: string): Curve => ({
  stage: stage.stage,
  metric,
  points: smoothed(measured(stage, metric)),
  heldOut: [false, true].flatMap((averaged) => {
    const points = measured(stage, validated(metric, averaged))
    return points.length === 0 ? [] : [{ averaged, points }]
  }),
})

/** Metrics that held-out pictures alone have; those of averaged weights are drawn with the others. */
const heldOutAlone = (names: readonly string[]): readonly string[] =>
  names.flatMap((name) => {
    const metric = name.slice(validated('').length)
    const isAveraged = names.some((other) => name === `${other}_ema`)
    return name.startsWith(validated('')) && !isAveraged && !names.includes(metric) ? [metric] : []
  })

/**
 * What is worth a panel: losses that change, and no other is their multiple, the stage's total loss first; then what held-out pictures
 * alone are asked.
 */
export const curvesOf = (stages: readonly StageMetrics[]): readonly Curve[] =>
  stages.flatMap((stage) => {
    const names = [...new Set(stage.metrics.flatMap((m) => Object.keys(m)))]
    return [
      ...names
        .filter((metric) => metric.includes('loss') && !metric.startsWith(validated('')))
        .toSorted((a, b) => Number(b === 'loss') - Number(a === 'loss'))
        .map((metric) => curve(stage, metric))
        .filter(({ points }) => points.some(({ value }) => value !== points[0]?.value))
        .filter((c, i, all) => !all.slice(0, i).some((before) => proportional(before, c))),
      ...heldOutAlone(names).map((metric) => curve(stage, metric)),
    ]
  })

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
const valueAxis = ({ points, heldOut }: Curve) => {
  const others = heldOut.flatMap((series) => series.points.map(({ value }) => value))
  const range = extent([...points.map(({ value }) => value), ...others])
  const [low, high] = extent([...points.map(({ smooth }) => smooth), ...others])
  return points.length > 0 && range[0] > 0 && high / low > 4
    ? { scale: { type: 'log' as const, nice: false }, axis: { values: [...logTicks(range)], labelExpr: 'datum.value' } }
    : { scale: { zero: false }, axis: { tickCount: 5 } }
}

const font = 'DejaVu Sans, Helvetica, Arial, sans-serif'

/** Colours of a chart: its ground, letters, quieter letters, lines of the grid, and the curves of each stage. */
interface Theme {
  readonly ground: string
  readonly ink: string
  readonly quiet: string
  readonly grid: string
  readonly hues: readonly [string, string]
  /** Of held-out pictures, by the weights as they are and averaged. */
  readonly heldOut: readonly [string, string]
}
const themes = {
  light: {
    ground: '#ffffff',
    ink: '#24292f',
    quiet: '#57606a',
    grid: '#e6e8eb',
    hues: ['#2f6f9f', '#b3541e'],
    heldOut: ['#1a7f37', '#8250df'],
  },
  dark: {
    ground: '#161b22',
    ink: '#e6edf3',
    quiet: '#9198a1',
    grid: '#30363d',
    hues: ['#79b8ff', '#ffab70'],
    heldOut: ['#7ee787', '#d2a8ff'],
  },
} as const satisfies Readonly<Record<string, Theme>>
export type ThemeName = keyof typeof themes

const training = 'trained on'
const heldOutName = (averaged: boolean): string => (averaged ? 'held out, averaged' : 'held out')

/** Which colour is what, where there is more than one. */
const legendOf = ({ points, heldOut }: Curve, theme: Theme, colour: string) => {
  const named = [
    ...(points.length === 0 ? [] : [[training, colour] as const]),
    ...heldOut.map(({ averaged }) => [heldOutName(averaged), theme.heldOut[averaged ? 1 : 0]] as const),
  ]
  return {
    type: 'nominal' as const,
    scale: { domain: named.map(([name]) => name), range: named.map(([, hue]) => hue) },
    legend: { title: null, orient: 'bottom' as const, labelColor: theme.quiet, labelLimit: 240, symbolType: 'stroke' },
  }
}

const panel = (drawn: Curve, theme: Theme, colour: string) => {
  const y = (field: 'value' | 'smooth') => ({
    field,
    type: 'quantitative' as const,
    title: drawn.metric,
    ...valueAxis(drawn),
  })
  const x = { field: 'step', type: 'quantitative' as const, title: 'step', axis: { tickCount: 5 } }
  const legend = legendOf(drawn, theme, colour)
  const named = (name: string) => (drawn.heldOut.length === 0 ? {} : { color: { datum: name, ...legend } })
  return {
    title: {
      text: `${drawn.stage}: ${drawn.metric}`,
      anchor: 'start' as const,
      frame: 'group' as const,
      fontSize: 12,
      color: theme.ink,
    },
    width: 280,
    height: 180,
    data: { values: thin(drawn.points).map((p) => ({ ...p })) },
    layer: [
      ...(drawn.points.length === 0
        ? []
        : [
            {
              mark: { type: 'line' as const, color: colour, opacity: 0.3, strokeWidth: 1 },
              encoding: { x, y: y('value') },
            },
            {
              mark: { type: 'line' as const, color: colour, strokeWidth: 2 },
              encoding: { x, y: y('smooth'), ...named(training) },
            },
          ]),
      ...drawn.heldOut.map(({ averaged, points }) => ({
        data: { values: thin(points).map((p) => ({ ...p })) },
        mark: { type: 'line' as const, strokeWidth: 1.5, point: { size: 18 } },
        encoding: { x, y: y('value'), ...named(heldOutName(averaged)) },
      })),
    ],
  }
}

type Panel = ReturnType<typeof panel>

/** Each panel has colours of its own. */
const resolve = { scale: { color: 'independent' as const } }

const specOf = (rows: readonly (readonly Panel[])[], { ground, quiet, grid }: Theme): TopLevelSpec => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: ground,
  padding: 10,
  spacing: 24,
  vconcat: rows.map((row) => ({ hconcat: [...row], spacing: 24, resolve })),
  resolve,
  config: {
    font,
    view: { stroke: null },
    axis: {
      labelFontSize: 10,
      titleFontSize: 11,
      titleFontWeight: 'normal',
      labelColor: quiet,
      titleColor: quiet,
      gridColor: grid,
      domain: false,
      ticks: false,
      labelPadding: 6,
    },
  },
})

/** The panels of each stage that has any. */
const panelsOf = (stages: readonly StageMetrics[], theme: Theme): readonly (readonly Panel[])[] => {
  const curves = curvesOf(stages)
  return stages
    .map(({ stage }, i) =>
      curves.filter((c) => c.stage === stage).map((c) => panel(c, theme, theme.hues[i % 2] ?? theme.ink)),
    )
    .filter((row) => row.length > 0)
}

const drawn = (rows: readonly (readonly Panel[])[], theme: Theme): Effect<string> =>
  TE.tryCatch(
    () => new View(parse(compile(specOf(rows, theme)).spec), { renderer: 'none' }).toSVG(),
    (reason): Errors => [failure('run', 'loss curves', 'a chart', reasonOf(reason))],
  )

/**
 * The curves of every metric as an SVG: a smoothed line over the measured one, a panel a metric, a row a stage; undefined where
 * there is nothing to draw, as of stages that were imported. Errors: `run`.
 */
export const lossCurves = (stages: readonly StageMetrics[]): Effect<string | undefined> => {
  const rows = panelsOf(stages, themes.light)
  return rows.length === 0 ? TE.right(undefined) : drawn(rows, themes.light)
}

/** The panels one by one, each for a light and for a dark page. Errors: `run`. */
export const lossPanels = (
  stages: readonly StageMetrics[],
): Effect<readonly Readonly<Record<ThemeName, string> & { readonly title: string; readonly heldOut: boolean }>[]> => {
  const one = (theme: Theme) =>
    pipe(
      panelsOf(stages, theme).flat(),
      TE.traverseSeqArray((p) => drawn([[p]], theme)),
    )
  return pipe(
    TE.Do,
    TE.bind('light', () => one(themes.light)),
    TE.bind('dark', () => one(themes.dark)),
    TE.map(({ light, dark }) =>
      panelsOf(stages, themes.light)
        .flat()
        .map(({ title, layer }, i) => ({
          title: title.text,
          light: light[i] ?? '',
          dark: dark[i] ?? '',
          heldOut: layer.some((l) => 'data' in l),
        })),
    ),
  )
}
