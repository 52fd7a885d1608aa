import type { TopLevelSpec } from 'vega-lite'
import { type Effect, type Errors, failure, reasonOf } from '../../error.ts'
import { optional } from '../../optional.ts'
import { pipe, TE } from '../../prelude.ts'
import { type Curve, curvesOf, isLogarithmic, nameOf, type StageMetrics } from './curves.ts'
import { extent, logTicks, thin } from './scale.ts'

/** The curves of losses as a picture by itself. */

const valueAxis = (curve: Curve) => {
  const all = [
    ...curve.points.map(({ value }) => value),
    ...curve.heldOut.flatMap(({ points }) => points.map((p) => p.value)),
  ]
  return isLogarithmic(curve)
    ? {
        scale: { type: 'log' as const, nice: false },
        axis: { values: [...logTicks(extent(all))], labelExpr: 'datum.value' },
      }
    : { scale: { zero: false }, axis: { tickCount: 5 } }
}

const font = 'DejaVu Sans, Helvetica, Arial, sans-serif'

/** Colours of a chart: its ground, letters, quieter letters, lines of the grid. */
const theme = { ground: '#ffffff', ink: '#24292f', quiet: '#57606a', grid: '#e6e8eb' } as const
/** Of the curves of each stage. */
const hues = ['#2f6f9f', '#b3541e'] as const
/** Of held-out pictures, by the weights as they are and averaged. */
const heldOutHues = ['#1a7f37', '#8250df'] as const

/** Which colour is what, where there is more than one. */
const legendOf = ({ points, heldOut }: Curve, colour: string) => {
  const named = [
    ...(points.length === 0 ? [] : [[nameOf(undefined), colour] as const]),
    ...heldOut.map((series) => [nameOf(series), heldOutHues[series.averaged ? 1 : 0]] as const),
  ]
  return {
    type: 'nominal' as const,
    scale: { domain: named.map(([name]) => name), range: named.map(([, hue]) => hue) },
    legend: { title: null, orient: 'bottom' as const, labelColor: theme.quiet, labelLimit: 240, symbolType: 'stroke' },
  }
}

const panel = (drawn: Curve, colour: string) => {
  const y = (field: 'value' | 'smooth') => ({
    field,
    type: 'quantitative' as const,
    title: drawn.metric,
    ...valueAxis(drawn),
  })
  const x = { field: 'step', type: 'quantitative' as const, title: 'step', axis: { tickCount: 5 } }
  const legend = legendOf(drawn, colour)
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
              encoding: { x, y: y('smooth'), ...named(nameOf(undefined)) },
            },
          ]),
      ...drawn.heldOut.map((series) => ({
        data: { values: thin(series.points).map((p) => ({ ...p })) },
        mark: { type: 'line' as const, strokeWidth: 1.5, point: { size: 18 } },
        encoding: { x, y: y('value'), ...named(nameOf(series)) },
      })),
    ],
  }
}

type Panel = ReturnType<typeof panel>

/** Each panel has colours of its own. */
const resolve = { scale: { color: 'independent' as const } }

const specOf = (rows: readonly (readonly Panel[])[]): TopLevelSpec => ({
  $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
  background: theme.ground,
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
      labelColor: theme.quiet,
      titleColor: theme.quiet,
      gridColor: theme.grid,
      domain: false,
      ticks: false,
      labelPadding: 6,
    },
  },
})

/** The panels of each stage that has any. */
const panelsOf = (stages: readonly StageMetrics[]): readonly (readonly Panel[])[] => {
  const curves = curvesOf(stages)
  return stages
    .map(({ stage }, i) => curves.filter((c) => c.stage === stage).map((c) => panel(c, hues[i % 2] ?? theme.ink)))
    .filter((row) => row.length > 0)
}

/** What draws charts. Errors: `run`, where it is not installed. */
export const plotting: Effect<readonly [typeof import('vega'), typeof import('vega-lite')]> = optional('curves', () =>
  Promise.all([import('vega'), import('vega-lite')]),
)

const drawn = (rows: readonly (readonly Panel[])[]): Effect<string> =>
  pipe(
    plotting,
    TE.flatMap(([{ parse, View }, { compile }]) =>
      TE.tryCatch(
        () => new View(parse(compile(specOf(rows)).spec), { renderer: 'none' }).toSVG(),
        (reason): Errors => [failure('run', 'loss curves', 'a chart', reasonOf(reason))],
      ),
    ),
  )

/**
 * The curves of every metric as an SVG: a smoothed line over the measured one, a panel a metric, a row a stage; undefined where
 * there is nothing to draw, as of stages that were imported. Errors: `run`.
 */
export const lossCurves = (stages: readonly StageMetrics[]): Effect<string | undefined> => {
  const rows = panelsOf(stages)
  return rows.length === 0 ? TE.right(undefined) : drawn(rows)
}
