import { type PeerDevice, type PeerMode, type Precision, type Pythons, peer, peerModes, precisionOf } from './peer.ts'
import { type Answer, median, ours, type Side } from './side.ts'
import { peerWorkOf } from './works.ts'

/** A work on one side. */
export interface Timed {
  readonly ms: number
  readonly peakMiB: number
}
export interface Row {
  readonly work: string
  readonly executor: string
  readonly precision: Precision
  readonly ours: Timed
  /** Operations a second: how much of what a product of large matrices reaches. */
  readonly share: number | null
  /** Of each mode that ran, and why others did not. */
  readonly peers: Readonly<Partial<Record<PeerMode, Timed>>>
  readonly absent: Readonly<Partial<Record<PeerMode, string>>>
  /** To the fastest mode of the same precision. */
  readonly ratio: number | null
}

export interface Settings extends Pythons {
  readonly executor: string
  readonly precision: Precision
  readonly modes: readonly PeerMode[]
  readonly rounds: number
  /** Where the peers compute. */
  readonly device: PeerDevice
  readonly say: (line: string) => void
}

const warmUp = 3
/** How far two sides may be apart on the same work. */
const tolerance: { readonly [P in Precision]: number } = { float32: 1e-4, bfloat16: 5e-2 }

/** PyTorch and JAX as they are installed compute some float32 in TensorFloat-32 on a card. */
const tensorFloat = 5e-3

interface Runner {
  readonly side: Side
  readonly ms: number[]
}
const run = async ({ side, ms }: Runner, round: number): Promise<Answer> => {
  const answer = await side.ask({ cmd: 'run', repeats: 1 })
  if (answer.ok === false) throw new Error(answer.reason)
  if (round >= warmUp) ms.push(...(answer.ms ?? []))
  return answer
}
const timed = async ({ side, ms }: Runner): Promise<Timed> => ({
  ms: median(ms),
  peakMiB: (await side.ask({ cmd: 'memory' })).absoluteMiB ?? Number.NaN,
})

/** A work here and in PyTorch's modes, a process each, taking turns run by run. Error: sides that do not compute the same. */
export const compare = async (
  work: string,
  flops: number,
  peak: number | undefined,
  { executor, precision, modes, rounds, device, say, ...pythons }: Settings,
): Promise<Row> => {
  const us: Runner = { side: ours(), ms: [] }
  const { threads } = pythons
  const mine = await us.side.ask({ cmd: 'setup', work, threads, executor, precision })
  if (mine.ok !== true) throw new Error(mine.reason)
  const [x = Number.NaN] = (await run(us, 0)).values ?? []
  const runners = new Map<PeerMode, Runner>()
  const absent: Partial<Record<PeerMode, string>> = {}
  for (const mode of modes) {
    const runner: Runner = { side: peer(peerModes[mode].of, pythons), ms: [] }
    const made = await runner.side.ask({ cmd: 'setup', ...peerWorkOf(work), threads, mode, device })
    const first = made.ok === true ? await runner.side.ask({ cmd: 'run', repeats: 1 }) : made
    const y = first.values?.[0]
    if (y === undefined) {
      absent[mode] = first.reason ?? 'no answer'
      runner.side.end()
      continue
    }
    if (made.referenceBlas === true && mode === 'eager')
      say('PyTorch runs on the reference BLAS here, which flatters us: apt-get install libopenblas0-openmp')
    const most = Math.max(tolerance[precision], tolerance[precisionOf(mode)], device === 'cuda' ? tensorFloat : 0)
    if (!(Math.abs(x - y) <= most * Math.abs(y)))
      throw new Error(`${work}: not the same work: ${x} here, ${y} there (${mode})`)
    runners.set(mode, runner)
  }
  for (let round = 0; round < rounds + warmUp; round++)
    for (const runner of [us, ...runners.values()]) await run(runner, round)
  const peers: Partial<Record<PeerMode, Timed>> = {}
  const own = await timed(us)
  for (const [mode, runner] of runners) peers[mode] = await timed(runner)
  for (const { side } of [us, ...runners.values()]) side.end()
  const best = Math.min(
    ...modes.flatMap((mode) => (precisionOf(mode) === precision && peers[mode] !== undefined ? [peers[mode].ms] : [])),
  )
  return {
    work,
    executor,
    precision,
    ours: own,
    share: peak === undefined ? null : flops / (own.ms / 1000) / peak,
    peers,
    absent,
    ratio: Number.isFinite(best) ? own.ms / best : null,
  }
}
