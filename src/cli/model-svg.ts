import { type Shape, size } from '../graph/types.ts'
import { escapeHtml } from '../train/report/escape.ts'
import { flops, thousands } from './check-report.ts'
import type { Glance, Link, Station } from './model-blocks.ts'

/**
 * A network as a picture: time runs to the right, a row for each resolution, a block as high as it has channels. So an autoencoder goes
 * down and up again, and a U-Net is a U. Below, how many parameters and operations each block has.
 */

const column = 40
const bar = 26
const row = 78
const tallest = 46
const left = 92
const strip = 44
const top = 30

/** Of [N, positions, C], or of one item's [positions, C]; 0 of a vector. */
const tokensOf = (shape: Shape): number =>
  shape.length === 3 ? (shape[1] ?? 0) : shape.length === 2 && shape[0] !== 1 ? (shape[0] ?? 0) : 0
/** [N, C, H, W] -> `H x W`; [N, positions, C] -> `positions`; what is one vector has none. */
export const resolutionOf = (shape: Shape): string =>
  shape.length >= 4 ? shape.slice(2).join('×') : tokensOf(shape) > 0 ? `${tokensOf(shape)} tokens` : 'vector'
/** Rows from the top: pictures, texts, vectors. */
const positionsOf = (shape: Shape): number => (shape.length >= 4 ? size(shape.slice(2)) : tokensOf(shape) / 1e6)
export const channelsOf = (shape: Shape): number =>
  shape.length >= 4 ? (shape[1] ?? 1) : shape.length >= 2 ? (shape.at(-1) ?? 1) : 1

/** A number as short as it can be told: `1.2 M`. */
export const short = (n: number): string =>
  n >= 1e9
    ? `${(n / 1e9).toPrecision(3)} G`
    : n >= 1e6
      ? `${(n / 1e6).toPrecision(3)} M`
      : n >= 1e3
        ? `${(n / 1e3).toPrecision(3)} k`
        : `${n}`

/** Colours in light and in dark pages. */
export const svgStyle = `
.lg { --ink: #1f2328; --quiet: #59636e; --line: #d8dee4; --paper: #fff; --conv: #4078c0; --att: #c4621c; --end: #8c959f; --link: #8c959f; --skip: #2da44e; --told: #8250df; }
@media (prefers-color-scheme: dark) { .lg { --ink: #e6edf3; --quiet: #9198a1; --line: #30363d; --paper: #161b22; --conv: #58a6ff; --att: #ffa657; --end: #6e7681; --link: #6e7681; --skip: #56d364; --told: #bc8cff; } }
.lg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--quiet); }
.lg .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
.lg .row { stroke: var(--line); } .lg .conv { fill: var(--conv); } .lg .att { fill: var(--att); } .lg .end { fill: var(--end); } .lg .told { fill: var(--told); }
.lg .link { fill: none; stroke: var(--link); stroke-width: 1.2; } .lg .skip { fill: none; stroke: var(--skip); stroke-width: 1.2; stroke-dasharray: 4 3; }
.lg .in { font-size: 9px; text-anchor: middle; } .lg .share { fill: var(--conv); opacity: 0.75; } .lg a:focus rect, .lg a:hover rect { stroke: var(--ink); stroke-width: 2; }
`

interface Placed {
  readonly x: number
  readonly base: number
  readonly height: number
}
/** A picture's own coordinates, in pixels. */
export interface Drawing {
  readonly width: number
  readonly height: number
  /** What is in it, without the `svg` around it. */
  readonly body: string
}

const classOf = ({ kind, block }: Station): string =>
  kind !== 'block' ? 'end' : block?.attends === true ? 'att' : 'conv'
const says = ({ label, shape, block }: Station): string =>
  [
    `${label}: ${shape.join('×')}`,
    ...(block === undefined
      ? []
      : [
          `${thousands(block.parameters)} parameters, ${flops(block.flops)}`,
          ...(block.holds === '' ? [] : [block.holds]),
        ]),
  ].join('\n')

const path = (name: string, d: string): string => `<path class="${name}" d="${d}"/>`
/** What is read by the next is a line; what is kept for later is dashed, between blocks of a row an arc above, the higher the longer. */
const linkPath = ({ from, to }: Link, placed: readonly Placed[], isNext: boolean): string => {
  const [a, b] = [placed[from], placed[to]]
  if (a === undefined || b === undefined) return ''
  const name = isNext ? 'link' : 'skip'
  if (isNext || a.base !== b.base) {
    const [x1, y1, x2, y2] = [a.x + bar, a.base - a.height / 2, b.x, b.base - b.height / 2]
    const bend = (x2 - x1) / 2
    return path(name, `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`)
  }
  const [x1, y1, x2, y2] = [a.x + bar / 2, a.base - a.height - 12, b.x + bar / 2, b.base - b.height - 12]
  const high = Math.min(y1, y2) - Math.min(20, 4 + to - from)
  return path(
    name,
    `M${x1} ${y1}C${x1} ${high} ${x1 + column} ${high} ${(x1 + x2) / 2} ${high}S${x2} ${high} ${x2} ${y2}`,
  )
}

const stripOf = (
  title: string,
  stations: readonly Station[],
  y: number,
  of: (s: Station) => number,
  show: (n: number) => string,
): string => {
  const values = stations.map(of)
  const largest = Math.max(1, ...values)
  const bars = values.map((n, i) => {
    const height = Math.max(n === 0 ? 0 : 1, (n / largest) * (strip - 16))
    const [x, place] = [left + i * column, y + strip - 4]
    return n === 0
      ? ''
      : `<rect class="share" x="${x}" y="${(place - height).toFixed(1)}" width="${bar}" height="${height.toFixed(1)}"><title>${escapeHtml(show(n))}</title></rect><text class="in" x="${x + bar / 2}" y="${(place - height - 3).toFixed(1)}">${short(n)}</text>`
  })
  return `<text x="0" y="${y + strip - 6}">${title}</text>${bars.join('')}`
}

/** What all names begin with, up to a dot. */
const commonHead = (all: readonly string[]): string => {
  const [first = '', ...rest] = all
  const heads = first.split('.').map((_, i, parts) => `${parts.slice(0, i).join('.')}.`)
  return rest.length === 0
    ? ''
    : (heads.findLast((head) => head !== '.' && rest.every((n) => n.startsWith(head))) ?? '')
}

/** One network. `anchor` is where a block of this name is told of in the page, if it is. */
export const drawing = (
  title: string,
  { stations, links, told }: Glance,
  anchor?: (block: string) => string,
): Drawing => {
  const rows = [...new Map(stations.map(({ shape }) => [resolutionOf(shape), positionsOf(shape)])).entries()].toSorted(
    ([, a], [, b]) => b - a,
  )
  const widest = Math.max(...stations.map(({ shape }) => channelsOf(shape)))
  const baseOf = (shape: Shape): number =>
    top + 14 + (rows.findIndex(([r]) => r === resolutionOf(shape)) + 1) * row - 12
  const placed = stations.map(
    ({ shape }, i): Placed => ({
      x: left + i * column,
      base: baseOf(shape),
      height: 8 + (tallest - 8) * (channelsOf(shape) / widest),
    }),
  )
  const width = left + stations.length * column + 8
  const bottom = top + 14 + rows.length * row
  const lines = rows.map(([r], i) => {
    const y = top + 14 + (i + 1) * row - 12
    return `<line class="row" x1="${left - 6}" x2="${width}" y1="${y + 0.5}" y2="${y + 0.5}"/><text x="0" y="${y - 4}">${escapeHtml(r)}</text>`
  })
  /** Between which nothing of their kind is done. */
  const isNext = ({ from, to }: Link): boolean =>
    stations
      .slice(from + 1, to)
      .every(({ kind, shape }) => kind !== 'block' || shape.length !== (stations[to]?.shape.length ?? 0))
  const common = commonHead(stations.flatMap(({ block }) => block?.name ?? []))
  const blocks = stations.map((s, i) => {
    const at = placed[i] ?? { x: 0, base: 0, height: 0 }
    const marks = told.flatMap(({ to }, k) =>
      to.includes(i) ? [`<circle class="told" cx="${at.x + 4 + 7 * k}" cy="${at.base + 6}" r="2.6"/>`] : [],
    )
    const inner = `<rect class="${classOf(s)}" x="${at.x}" y="${(at.base - at.height).toFixed(1)}" width="${bar}" height="${at.height.toFixed(1)}" rx="3"><title>${escapeHtml(says(s))}</title></rect><text class="in" x="${at.x + bar / 2}" y="${(at.base - at.height - 3).toFixed(1)}">${channelsOf(s.shape)}</text>${marks.join('')}`
    return anchor !== undefined && s.block !== undefined ? `<a href="#${anchor(s.block.name)}">${inner}</a>` : inner
  })
  const [parametersAt, flopsAt] = [bottom + 4, bottom + 4 + strip]
  const namesAt = flopsAt + strip + 8
  const shownName = (label: string): string =>
    common !== '' && label.startsWith(common) ? label.slice(common.length) : label
  const longest = Math.max(...stations.map(({ label }) => shownName(label).length)) * 6
  const labels = stations.map(
    ({ label }, i) =>
      `<text transform="translate(${left + i * column + bar / 2 + 4} ${namesAt}) rotate(60)">${escapeHtml(shownName(label))}</text>`,
  )
  const legend = told.map(
    ({ from, to }, k) => `●${k === 0 ? '' : k + 1} ${stations[from]?.label ?? ''} is told to ${to.length} blocks`,
  )
  const body = `<text class="title" x="0" y="14">${escapeHtml(title)}</text>${legend.map((l, k) => `<text class="told" style="fill:var(--told)" x="${left + 220 * k}" y="${top}">${escapeHtml(l)}</text>`).join('')}
${lines.join('')}${links.map((l) => linkPath(l, placed, isNext(l))).join('')}${blocks.join('')}
${stripOf(
  'parameters',
  stations,
  parametersAt,
  (s) => s.block?.parameters ?? 0,
  (n) => `${thousands(n)} parameters`,
)}
${stripOf('operations', stations, flopsAt, (s) => s.block?.flops ?? 0, flops)}
${labels.join('')}`
  return { width: width + Math.ceil(longest / 2), height: namesAt + Math.ceil(longest * 0.87) + 8, body }
}

const key =
  'A block is as high as it has channels; blue: convolutions and the like, orange: with attention; dashes: kept for later.'
export const svgOf = ({ width, height, body }: Drawing, title: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" class="lg" role="img" aria-label="${escapeHtml(title)}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${body}</svg>`

/** Several networks, one under another, as a file of its own. */
export const svgFile = (title: string, drawings: readonly Drawing[]): string => {
  const width = Math.max(640, ...drawings.map((d) => d.width)) + 32
  const starts = drawings.map((_, i) => 56 + drawings.slice(0, i).reduce((y, d) => y + d.height + 16, 0))
  const height = drawings.reduce((y, d) => y + d.height + 16, 56)
  return `<svg xmlns="http://www.w3.org/2000/svg" class="lg" role="img" aria-label="${escapeHtml(title)}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><style>${svgStyle}</style><rect width="${width}" height="${height}" style="fill:var(--paper)"/>
<text class="title" x="16" y="24">${escapeHtml(title)}</text><text x="16" y="42">${key}</text>
${drawings.map((d, i) => `<g transform="translate(16 ${starts[i] ?? 0})">${d.body}</g>`).join('\n')}</svg>
`
}
export { key as drawingKey }
