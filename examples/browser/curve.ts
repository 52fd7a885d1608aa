import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

/** The loss of each step, and its trend. */
export interface Curve {
  readonly begin: (steps: number) => void
  readonly add: (step: number, loss: number) => void
}

/** Share of the past in the trend. */
const inertia = 0.9

export const curveIn = (element: HTMLElement): Curve => {
  const colour = (name: string): string => getComputedStyle(element).getPropertyValue(name)
  const axis: uPlot.Axis = {
    stroke: () => colour('--quiet'),
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  }
  let planned = 2
  const steps: number[] = []
  const losses: number[] = []
  const trend: number[] = []
  const series: uPlot.Series = { points: { show: false } }
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: element.clientHeight,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false, range: () => [1, Math.max(planned, 2)] }, y: { distr: 3 } },
      axes: [axis, { ...axis, size: 48, values: (_, ticks) => ticks.map((y) => (y === null ? '' : String(y))) }],
      series: [
        {},
        { ...series, stroke: () => colour('--line'), width: 1 },
        { ...series, stroke: () => colour('--accent'), width: 2 },
      ],
    },
    [steps, losses, trend],
    element,
  )
  const draw = (): void => plot.setData([steps, losses, trend])
  new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: element.clientHeight })).observe(element)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
  return {
    begin: (count) => {
      planned = count
      for (const data of [steps, losses, trend]) data.length = 0
      draw()
    },
    add: (step, loss) => {
      steps.push(step)
      losses.push(loss)
      // The first steps of a running mean are the mean so far.
      const weight = Math.max(1 - inertia, 1 / steps.length)
      trend.push((trend.at(-1) ?? loss) * (1 - weight) + loss * weight)
      draw()
    },
  }
}
