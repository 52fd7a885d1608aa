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

/** Some terminals say that they have 0 columns. */
const columnsOf = ({ columns = 0 }: Screen): number => (columns > 0 ? columns : 80)

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

/** `first-stage  step 450/1800  loss 0.123  4.2 steps/s  eta 5m 12s`, in its parts. */
interface Line {
  readonly name: string
  readonly step: string
  readonly metrics: readonly string[]
  /** Rate, and the time it leaves. */
  readonly pace: readonly string[]
}
const line = ({ name, total, from }: Work, { done, metrics }: State, seconds: number): Line => {
  const rate = seconds > 0 ? (done - from) / seconds : 0
  const time =
    done >= total ? [`took ${showDuration(seconds)}`] : rate > 0 ? [`eta ${showDuration((total - done) / rate)}`] : []
  return {
    name,
    step: `step ${done}/${total}`,
    metrics: Object.entries(metrics).map(showMetric),
    pace: [...(rate > 0 ? [showRate(rate)] : []), ...time],
  }
}
const showLine = ({ name, step, metrics, pace }: Line): string => [name, step, ...metrics, ...pace].join('  ')

const bar = (width: number, { total }: Work, { done }: State): string => {
  const filled = Math.min(width, Math.floor((width * done) / Math.max(total, 1)))
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
}

/** What of a line a terminal of this many columns has room for: rate and time left are the last that it loses. */
const fitted = (width: number, work: Work, state: State, whole: Line): string => {
  const { name, step, metrics, pace } = whole
  const first = metrics.slice(0, 1)
  const ways: readonly (readonly string[])[] = [
    [bar(20, work, state), name, step, ...metrics, ...pace],
    [bar(10, work, state), name, step, ...metrics, ...pace],
    [bar(20, work, state), name, step, ...first, ...pace],
    [bar(10, work, state), name, step, ...first, ...pace],
    [name, step, ...first, ...pace],
    [name, step, ...pace],
    [step, ...pace],
    [step.replace('step ', ''), ...pace],
    pace,
  ]
  const texts = ways.map((parts) => parts.join('  '))
  return texts.find((text) => text.length <= width) ?? (texts.at(-1) ?? '').slice(0, width)
}

export interface WaitOptions extends Pick<ProgressOptions, 'screen' | 'now' | 'every'> {
  /** Calls again and again, every so many milliseconds, until what it gives is called. */
  readonly ticking?: (look: IO<void>, ms: number) => IO<void>
}
const onClock: NonNullable<WaitOptions['ticking']> = (look, ms) => {
  const timer = setInterval(look, ms)
  return () => clearInterval(timer)
}
/** A wait of less (ms) is not worth a line. */
const noticed = 1500
/** Shows work without steps, by the name it begins with, from when it lasts until what is given is called: how long so far, and in all. */
export const waits =
  ({ screen = process.stderr, now = () => performance.now(), every = 10, ticking = onClock }: WaitOptions = {}) =>
  (what: string): IO<void> => {
    const start = now()
    const live = screen.isTTY === true
    const shown = { at: Number.NEGATIVE_INFINITY }
    const show = (took: string, final: boolean): void => {
      const text = `${what}  ${took}${showDuration((now() - start) / 1000)}`
      screen.write(live ? `\r\u001b[K${text.slice(0, columnsOf(screen) - 1)}${final ? '\n' : ''}` : `${text}\n`)
      shown.at = now()
    }
    const stop = ticking(() => {
      const isDue = now() - shown.at >= (live ? 1000 : every * 1000)
      if (now() - start >= noticed && isDue) show('', false)
    }, noticed / 3)
    return () => {
      stop()
      if (shown.at >= start) show('took ', true)
    }
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
    const whole = line(work, latest.state, (at - start) / 1000)
    const width = columnsOf(screen) - 1
    screen.write(
      live ? `\r\u001b[K${fitted(width, work, latest.state, whole)}${final ? '\n' : ''}` : `${showLine(whole)}\n`,
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
