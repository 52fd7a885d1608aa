import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

/** The loss of each step, and its trend. */
export interface Curve {
  /** Empty, with room for these. */
  readonly begin: (steps: number) => void
  readonly add: (step: number, loss: number) => void
}

/** Steps that the trend is a mean of. */
const smoothed = 6
const mean = (xs: readonly number[]): number => xs.reduce((sum, x) => sum + x, 0) / xs.length

/** 1, 2 and 5 times the powers of ten between two numbers. */
const ladder = (low: number, high: number): number[] =>
  [-6, -5, -4, -3, -2, -1, 0, 1, 2]
    .flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)))
    .filter((y) => y >= low && y <= high)

export const curveIn = (element: HTMLElement): Curve => {
  let planned = 2
  const steps: number[] = []
  const losses: number[] = []
  const trend: number[] = []
  const colour = (name: string): string => getComputedStyle(element).getPropertyValue(name)
  const axis: uPlot.Axis = {
    stroke: () => colour('--quiet'),
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  }
  const line = (name: string, width: number): uPlot.Series => ({
    stroke: () => colour(name),
    width,
    points: { show: false },
  })
  const size = (): uPlot.Options => ({ width: element.clientWidth, height: element.clientHeight, series: [] })
  const plot = new uPlot(
    {
      ...size(),
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [1, planned] },
        y: { distr: 3, range: (_, low, high) => (losses.length === 0 ? [0.04, 1] : [low * 0.9, high * 1.1]) },
      },
      axes: [
        { ...axis, size: 28 },
        {
          ...axis,
          size: 48,
          splits: (_, __, low, high) => ladder(low, high),
          filter: (_, splits) => splits,
          values: (_, ticks) => ticks.map(String),
        },
      ],
      series: [{}, line('--faint', 1), line('--accent', 2.5)],
    },
    [steps, losses, trend],
    element,
  )
  const draw = (): void => plot.setData([steps, losses, trend])
  new ResizeObserver(() => plot.setSize(size())).observe(element)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
  return {
    begin: (count) => {
      planned = Math.max(count, 2)
      for (const data of [steps, losses, trend]) data.length = 0
      draw()
    },
    add: (step, loss) => {
      steps.push(step)
      losses.push(loss)
      trend.push(mean(losses.slice(-smoothed)))
      draw()
    },
  }
}
