import { validated } from '../../experiment/validation.ts'
import type { Chart, Series } from './chart.ts'
import { extent } from './scale.ts'

/** What training has measured, as curves. */

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

/** A logarithmic axis shows a fall over orders of magnitude; it needs numbers above 0. */
export const isLogarithmic = ({ points, heldOut }: Curve): boolean => {
  const others = heldOut.flatMap((series) => series.points.map(({ value }) => value))
  const [least] = extent([...points.map(({ value }) => value), ...others])
  const [low, high] = extent([...points.map(({ smooth }) => smooth), ...others])
  return points.length > 0 && least > 0 && high / low > 4
}

const training = 'trained on'
export const nameOf = (series: HeldOut | undefined): string =>
  series === undefined ? training : series.averaged ? 'held out, averaged' : 'held out'

const pairs = (points: readonly { readonly step: number; readonly value: number }[]): Series['points'] =>
  points.map(({ step, value }) => [step, value] as const)

/** A curve for a page. */
export const chartOf = (curve: Curve): Chart => {
  const { stage, metric, points, heldOut } = curve
  return {
    title: `${stage}: ${metric}`,
    along: 'step',
    log: isLogarithmic(curve),
    series: [
      ...(points.length === 0
        ? []
        : [
            { name: training, points: pairs(points), colour: 0, faint: true },
            { name: training, points: points.map(({ step, smooth }) => [step, smooth] as const), colour: 0 },
          ]),
      ...heldOut.map((series) => ({
        name: nameOf(series),
        points: pairs(series.points),
        colour: series.averaged ? 3 : 2,
        dots: true,
      })),
    ],
  }
}

/** Metrics that are told of together. */
const together: readonly (readonly [title: string, metrics: Readonly<Record<string, string>>])[] = [
  ['gradient norms at the last layer', { nll_grad_norm: 'of the reconstruction', g_grad_norm: 'of the discriminator' }],
  ['weight of the discriminator', { d_weight: 'd_weight, adaptive', disc_factor: 'disc_factor' }],
  ['what the discriminator says', { logits_real: 'of pictures', logits_fake: 'of reconstructions' }],
  ['codebook use', { perplexity: 'perplexity', cluster_usage: 'codes that are used' }],
]

/** What is no loss and changes: the contest with a discriminator, the use of a codebook, a scale, as a run has it. */
export const otherCharts = (stages: readonly StageMetrics[]): readonly Chart[] =>
  stages.flatMap((stage) => {
    const names = [...new Set(stage.metrics.flatMap((m) => Object.keys(m)))].filter(
      (name) => name !== 'step' && !name.includes('loss') && !name.startsWith(validated('')),
    )
    const changing = names.filter((name) => {
      const values = measured(stage, name)
      return values.some(({ value }) => value !== values[0]?.value)
    })
    const inGroups = together.flatMap(([, metrics]) => Object.keys(metrics))
    const groups = [
      ...together,
      ...changing.filter((name) => !inGroups.includes(name)).map((name) => [name, { [name]: name }] as const),
    ]
    return groups.flatMap(([title, metrics]) => {
      const shown = Object.entries(metrics).filter(([name]) => changing.includes(name))
      const curves = shown.map(([name]) => curve(stage, name))
      return shown.length === 0
        ? []
        : [
            {
              title: `${stage.stage}: ${title}`,
              along: 'step',
              log: curves.every(isLogarithmic),
              series: curves.flatMap(({ points }, i) => [
                { name: '', points: pairs(points), colour: i, faint: true },
                {
                  name: shown[i]?.[1] ?? '',
                  points: points.map(({ step, smooth }) => [step, smooth] as const),
                  colour: i,
                },
              ]),
            },
          ]
    })
  })
