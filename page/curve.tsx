import type { Point } from '../src/serve/api.ts'

/** A metric over steps; with a logarithmic scale where its values span more than a decade. */

const [width, height, left, bottom, top] = [420, 200, 56, 24, 8]

const short = (x: number): string =>
  x === 0 ? '0' : Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5 ? String(Number(x.toPrecision(3))) : x.toExponential(1)
const ticks = (from: number, to: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1))

/** The middle of as many values as lie near each: what a noisy curve does. */
const smooth = (ys: readonly number[]): readonly number[] => {
  const reach = Math.floor(ys.length / 60)
  return ys.map((_, i) => {
    const near = ys.slice(Math.max(0, i - reach), i + reach + 1)
    return near.reduce((a, b) => a + b, 0) / near.length
  })
}

export const Curve = ({
  name,
  points,
  metric,
}: {
  readonly name: string
  readonly points: readonly Point[]
  readonly metric: string
}) => {
  const found = points.flatMap((p) => {
    const [x, y] = [p.step, p[metric]]
    return x === undefined || y === undefined ? [] : [{ x, y }]
  })
  if (found.length < 2) return <p class="hint">Two points make a curve; there are fewer.</p>
  const ys = found.map(({ y }) => y)
  const [least, most] = [Math.min(...ys), Math.max(...ys)]
  const isLog = least > 0 && most / least > 10
  const scaled = (y: number): number => (isLog ? Math.log10(y) : y)
  const [low, high] = [scaled(least), scaled(most)]
  const [first, last] = [found[0]?.x ?? 0, found.at(-1)?.x ?? 1]
  const px = (x: number): number => left + ((x - first) / Math.max(1, last - first)) * (width - left - 8)
  const py = (s: number): number =>
    height - bottom - ((s - low) / Math.max(1e-12, high - low)) * (height - bottom - top)
  const line = (values: readonly number[]): string =>
    values.map((s, i) => `${px(found[i]?.x ?? 0).toFixed(1)},${py(s).toFixed(1)}`).join(' ')
  const drawn = ys.map(scaled)
  const says = `${name}: ${short(ys[0] ?? 0)} at step ${first}, ${short(ys.at(-1) ?? 0)} at step ${last}, between ${short(least)} and ${short(most)}`
  return (
    <svg class="curve" viewBox={`0 0 ${width} ${height}`} role="img" aria-label={says}>
      {ticks(low, high, 4).map((s) => (
        <g key={s}>
          <line class="rule" x1={left} x2={width - 8} y1={py(s)} y2={py(s)} />
          <text x={left - 6} y={py(s) + 4} text-anchor="end">
            {short(isLog ? 10 ** s : s)}
          </text>
        </g>
      ))}
      {ticks(first, last, 4).map((x) => (
        <text key={x} x={px(x)} y={height - 6} text-anchor={x === last ? 'end' : 'middle'}>
          {Math.round(x)}
        </text>
      ))}
      <polyline class="raw" points={line(drawn)} />
      <polyline class="smooth" points={line(smooth(drawn))} />
    </svg>
  )
}
