import type { Precision } from './peer.ts'
import { median, ours } from './side.ts'
import { grownWorks } from './works.ts'

/** How time grows along one axis. */
export interface Growth {
  readonly axis: string
  readonly points: readonly { readonly at: number; readonly ms: number; readonly peakMiB: number }[]
  /** Of time ~ axis^exponent, by least squares of the logarithms. */
  readonly exponent: number
}

export const exponentOf = (points: readonly { readonly at: number; readonly ms: number }[]): number => {
  const logs = points.map(({ at, ms }) => [Math.log(at), Math.log(ms)] as const)
  const mean = (pick: (p: readonly [number, number]) => number): number =>
    logs.reduce((sum, p) => sum + pick(p), 0) / logs.length
  const [x, y] = [mean(([a]) => a), mean(([, b]) => b)]
  const over = logs.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0)
  return over / logs.reduce((sum, [a]) => sum + (a - x) ** 2, 0)
}

export interface GrowthSettings {
  readonly executor: string
  readonly precision: Precision
  readonly rounds: number
  readonly threads: number
}

const warmUp = 2
const timeOf = async (work: string, { executor, precision, rounds, threads }: GrowthSettings) => {
  const side = ours()
  try {
    const made = await side.ask({ cmd: 'setup', work, threads, executor, precision })
    if (made.ok !== true) throw new Error(`${work}: ${made.reason}`)
    await side.ask({ cmd: 'run', repeats: warmUp })
    const { ms = [] } = await side.ask({ cmd: 'run', repeats: rounds })
    return { ms: median(ms), peakMiB: (await side.ask({ cmd: 'memory' })).absoluteMiB ?? Number.NaN }
  } finally {
    side.end()
  }
}

/** The U-Net's training step along each axis: batch, side of the latents, parameters. */
export async function* growth(settings: GrowthSettings): AsyncGenerator<Growth> {
  for (const [axis, grown] of Object.entries(grownWorks)) {
    const points: { readonly at: number; readonly ms: number; readonly peakMiB: number }[] = []
    for (const { at, name } of grown) points.push({ at, ...(await timeOf(name, settings)) })
    yield { axis, points, exponent: exponentOf(points) }
  }
}

export const growthLine = ({ axis, points, exponent }: Growth): string =>
  `${axis.padEnd(12)}${points.map(({ at, ms }) => `${at.toLocaleString('en-US')}: ${ms.toFixed(0)} ms`).join(', ')}; time ~ ${axis}^${exponent.toFixed(2)}`
