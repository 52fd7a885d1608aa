import { escapeHtml } from './escape.ts'
import { extent, linearTicks, logTicks, type Range, thin } from './scale.ts'

/** Curves as a figure of a page, in its colours. */

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Of the page's colours; curves of one chart that are told apart have several. */
  readonly colour: number
  /** Drawn thinly, and not named: what a smoothed curve is of. */
  readonly faint?: boolean
  /** Whether each point is marked. */
  readonly dots?: boolean
}
export interface Chart {
  readonly title: string
  /** What is along. */
  readonly along: string
  readonly series: readonly Series[]
  /** A logarithmic axis; all numbers are above 0 then. */
  readonly log?: boolean
}

/** How many colours a page has for curves. */
export const colours = 6

const [width, height] = [320, 176] as const
const area = { left: 44, right: 304, top: 8, bottom: 156 } as const

/** `0.00312`, `12k` */
const shown = (x: number): string =>
  Math.abs(x) >= 1e4 && Math.abs(x) < 1e6 ? `${Number((x / 1000).toPrecision(3))}k` : `${Number(x.toPrecision(3))}`

const padded = ([low, high]: Range): Range => {
  const room = low === high ? Math.abs(low) || 1 : (high - low) * 0.04
  return [low - room, high + room]
}

interface Axis {
  readonly at: (value: number) => number
  readonly ticks: readonly number[]
}
const axis = (range: Range, [from, to]: Range, of: (x: number) => number, ticks: readonly number[]): Axis => {
  const [low, high] = [of(range[0]), of(range[1])]
  return { at: (value) => from + ((to - from) * (of(value) - low)) / (high - low || 1), ticks }
}
const valueAxis = (range: Range, log: boolean): Axis =>
  log
    ? axis(range, [area.bottom, area.top], Math.log, logTicks(range))
    : axis(padded(range), [area.bottom, area.top], (x) => x, linearTicks(range, 5))

const isDrawn = ([x, y]: readonly [number, number]): boolean => Number.isFinite(x) && Number.isFinite(y)

const drawn = ({ points, colour, faint, dots, name }: Series, x: Axis, y: Axis): string => {
  const places = thin(points.filter(isDrawn)).map(([a, b]) => [x.at(a).toFixed(1), y.at(b).toFixed(1)] as const)
  const line = `<polyline class="c${colour % colours}${faint === true ? ' faint' : ''}" points="${places.map((p) => p.join(',')).join(' ')}"><title>${escapeHtml(name)}</title></polyline>`
  const marks =
    dots === true || places.length === 1
      ? places.map(([a, b]) => `<circle class="c${colour % colours}" cx="${a}" cy="${b}" r="2.2"/>`)
      : []
  return line + marks.join('')
}

/** A figure; empty where there is nothing to draw. */
export const chartFigure = ({ title, along, series, log = false }: Chart): string => {
  const points = series.flatMap((s) => s.points.filter(isDrawn))
  if (points.length === 0) return ''
  const span = extent(points.map(([a]) => a))
  const x = axis(span, [area.left, area.right], (v) => v, linearTicks(span, 5))
  const y = valueAxis(extent(points.map(([, b]) => b)), log)
  const named = series.filter(({ faint }) => faint !== true)
  const lastOf = (s: Series): string => {
    const last = s.points.findLast(isDrawn)
    return last === undefined ? '' : ` ${shown(last[1])}`
  }
  const key = named
    .map(
      (s) =>
        `<span class="key c${s.colour % colours}">${escapeHtml(named.length > 1 ? s.name : 'last')}${lastOf(s)}</span>`,
    )
    .join(' ')
  const rows = y.ticks.map((tick) => {
    const at = y.at(tick).toFixed(1)
    return `<line x1="${area.left}" x2="${area.right}" y1="${at}" y2="${at}"/><text x="${area.left - 5}" y="${at}" dy="3" text-anchor="end">${shown(tick)}</text>`
  })
  const columns = x.ticks.map(
    (tick) => `<text x="${x.at(tick).toFixed(1)}" y="${area.bottom + 14}" text-anchor="middle">${shown(tick)}</text>`,
  )
  return `<figure class="chart"><figcaption><b>${escapeHtml(title)}</b> ${key}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(`${title}, over ${along}`)}">${rows.join('')}${columns.join('')}<text x="${area.left - 5}" y="${area.bottom + 14}" text-anchor="end">${escapeHtml(along)}</text>${series.map((s) => drawn(s, x, y)).join('')}</svg></figure>`
}

/** Charts beside each other under a title; empty where there are none. */
export const chartSection = (title: string, charts: readonly Chart[], caption: string): string => {
  const figures = charts.map(chartFigure).join('')
  return figures === ''
    ? ''
    : `
  <section>
    <h2>${escapeHtml(title)}</h2>
    <div class="charts">${figures}</div>
    <p class="made">${escapeHtml(caption)}</p>
  </section>`
}
