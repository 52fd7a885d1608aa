import { median, ours, type Side } from './side.ts'

/** Works that a software GPU and plain JavaScript finish in seconds. */
export const smallWorks = ['small-unet-sample', 'small-unet-train', 'small-autoencoder-train'] as const

interface Settings {
  readonly rounds: number
  readonly threads: number
}
export interface Measured {
  readonly work: string
  readonly executor: string
  /** Building it, and its first run: shaders are built then. */
  readonly firstMs: number
  readonly medianMs: number
  /** To the first of the executors, of the medians. */
  readonly ratio: number
}
interface Runner {
  readonly executor: string
  readonly side: Side
  readonly firstMs: number
  readonly ms: number[]
}

const begin = async (executor: string, work: string, threads: number): Promise<Runner & { readonly value: number }> => {
  const started = performance.now()
  const side = ours()
  const made = await side.ask({ cmd: 'setup', work, threads, executor, precision: 'float32' })
  const first = made.ok === true ? await side.ask({ cmd: 'run', repeats: 1 }) : made
  const [value] = first.values ?? []
  if (value === undefined) throw new Error(first.reason ?? 'no answer')
  return { executor, side, firstMs: performance.now() - started, ms: [], value }
}

const compare = async (work: string, executors: readonly string[], { rounds, threads }: Settings) => {
  const runners: (Runner & { readonly value: number })[] = []
  for (const executor of executors) {
    const made = await begin(executor, work, threads).catch((reason: unknown) => String(reason))
    if (typeof made === 'string') console.log(`${work}: ${executor} is not measured: ${made}`)
    else runners.push(made)
  }
  const [base] = runners
  if (base === undefined) return []
  for (const { executor, value } of runners)
    if (!(Math.abs(value - base.value) <= 1e-3 * Math.abs(base.value)))
      throw new Error(`${work}: ${value} on ${executor}, ${base.value} on ${base.executor}`)
  for (let i = 0; i < rounds; i++)
    for (const { side, ms, executor } of runners) {
      const answer = await side.ask({ cmd: 'run', repeats: 1 })
      if (answer.ms === undefined) throw new Error(`${executor}: ${answer.reason ?? 'no answer'}`)
      ms.push(...answer.ms)
    }
  for (const { side } of runners) side.end()
  return runners.map(
    ({ executor, firstMs, ms }): Measured => ({
      work,
      executor,
      firstMs,
      medianMs: median(ms),
      ratio: median(ms) / median(base.ms),
    }),
  )
}

const row = (cells: readonly string[]): string =>
  `${(cells[0] ?? '').padEnd(26)}${(cells[1] ?? '').padEnd(16)}${cells
    .slice(2)
    .map((c) => c.padStart(12))
    .join('')}`

/** Measures executors on the same works, a process each, taking turns run by run; they must agree on the values. */
export const sideBySide = async (
  executors: readonly string[],
  works: readonly string[],
  settings: Settings,
): Promise<readonly Measured[]> => {
  const { rounds, threads } = settings
  console.log(
    `medians of ${rounds} alternated runs, ${threads} threads; ratio to ${executors[0] ?? 'none'}, below 1: faster`,
  )
  console.log(row(['work', 'executor', 'first s', 'median ms', 'ratio']))
  const all: Measured[] = []
  for (const work of works) {
    const measured = await compare(work, executors, settings)
    for (const m of measured)
      console.log(row([m.work, m.executor, (m.firstMs / 1000).toFixed(1), m.medianMs.toFixed(1), m.ratio.toFixed(2)]))
    all.push(...measured)
  }
  return all
}
