import type { IO } from '../prelude.ts'

/** How a long piece of work is going, for the person who waits for it. */
export interface Progress {
  /** `done` of the total are done. Called as often as one likes: what is shown is thinned out. */
  readonly update: (done: number, metrics?: Readonly<Record<string, number>>) => void
  /** Shows the last state for good. */
  readonly done: IO<void>
}

/** Where progress is written: a terminal line that is drawn again, or plain lines. */
export interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => unknown
}

export interface ProgressOptions {
  /** Default: standard error. */
  readonly screen?: Screen
  /** Milliseconds, rising. Default: the machine's monotonic clock. */
  readonly now?: IO<number>
  /** Where the work begins, when it is taken up again; default 0. */
  readonly from?: number
  /** Seconds between plain lines; default 10. */
  readonly every?: number
}

/** `75` -> `1m 15s` */
export const showDuration = (seconds: number): string => {
  const s = Math.max(0, Math.round(seconds))
  const [hours, minutes] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)]
  return hours > 0 ? `${hours}h ${minutes}m` : minutes > 0 ? `${minutes}m ${s % 60}s` : `${s}s`
}

const showMetric = ([name, value]: readonly [string, number]): string => `${name} ${Number(value.toPrecision(3))}`
const showRate = (rate: number): string =>
  rate >= 1 || rate === 0 ? `${Number(rate.toPrecision(2))} steps/s` : `${Number((1 / rate).toPrecision(2))} s/step`

interface State {
  readonly done: number
  readonly metrics: Readonly<Record<string, number>>
}
interface Work {
  readonly name: string
  readonly total: number
  readonly from: number
}

/** `first-stage  step 450/1800  loss 0.123  4.2 steps/s  eta 5m 12s` */
const line = ({ name, total, from }: Work, { done, metrics }: State, seconds: number): string => {
  const rate = seconds > 0 ? (done - from) / seconds : 0
  const time =
    done >= total ? [`took ${showDuration(seconds)}`] : rate > 0 ? [`eta ${showDuration((total - done) / rate)}`] : []
  return [
    name,
    `step ${done}/${total}`,
    ...Object.entries(metrics).map(showMetric),
    ...(rate > 0 ? [showRate(rate)] : []),
    ...time,
  ].join('  ')
}

const barWidth = 20
const bar = ({ total }: Work, { done }: State): string => {
  const filled = Math.min(barWidth, Math.floor((barWidth * done) / Math.max(total, 1)))
  return `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}  `
}

/** Redrawing more often than this (ms) cannot be seen. */
const redraw = 100

/**
 * Reports work of `total` steps: one line with a bar on a terminal, elsewhere a plain line every few seconds and one at
 * the end. The rate is over the whole of this run.
 */
export const progress = (name: string, total: number, options: ProgressOptions = {}): Progress => {
  const { screen = process.stderr, now = () => performance.now(), from = 0, every = 10 } = options
  const work: Work = { name, total, from }
  const start = now()
  const live = screen.isTTY === true
  const pause = live ? redraw : every * 1000
  const shown = { at: Number.NEGATIVE_INFINITY, done: Number.NaN }
  const latest: { state: State } = { state: { done: from, metrics: {} } }
  const show = (at: number, final: boolean): void => {
    const text = line(work, latest.state, (at - start) / 1000)
    const width = Math.max(20, (screen.columns ?? 80) - 1)
    screen.write(
      live ? `\r\u001b[K${`${bar(work, latest.state)}${text}`.slice(0, width)}${final ? '\n' : ''}` : `${text}\n`,
    )
    shown.at = at
    shown.done = latest.state.done
  }
  return {
    update: (done, metrics = latest.state.metrics) => {
      latest.state = { done, metrics }
      const at = now()
      if (at - shown.at >= pause) show(at, false)
    },
    done: () => {
      if (live || shown.done !== latest.state.done) show(now(), true)
    },
  }
}
