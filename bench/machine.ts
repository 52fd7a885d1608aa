import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { type PeerMode, type Precision, type Pythons, peer, peerModeNames, precisionOf } from './peer.ts'

/** Where a bench ran. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  /** Of those that matter to convolutions. */
  readonly instructions: readonly string[]
  /** Operations a second of a product of matrices of 2,048 by 2,048 in PyTorch, where it is there. */
  readonly peak: Readonly<Partial<Record<Precision, number>>>
  readonly torch: string | null
}

/** Of which any makes bfloat16 worth computing in. */
const brainFloats = ['avx512_bf16', 'amx_bf16', 'bf16']
const telling = ['avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'asimd', 'bf16']
const instructions = (): readonly string[] => {
  try {
    const words = new Set(readFileSync('/proc/cpuinfo', 'utf8').split(/\s+/))
    return telling.filter((name) => words.has(name))
  } catch {
    return []
  }
}

/** Asks the processor, and PyTorch how fast it is at its best. */
export const machine = async (pythons: Pythons, precisions: readonly Precision[]): Promise<Machine> => {
  const torch = peer('PyTorch', pythons)
  const ready = await torch.ask({ cmd: 'threads', threads: pythons.threads })
  const peak: Partial<Record<Precision, number>> = {}
  for (const dtype of ready.ok === true ? precisions : []) {
    const { flops } = await torch.ask({ cmd: 'peak', dtype })
    if (flops !== undefined) peak[dtype] = flops
  }
  torch.end()
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    instructions: instructions(),
    peak,
    torch: ready.torch ?? null,
  }
}

/** Modes of the peers that are measured unless others are asked for: bfloat16 takes minutes where the processor has none. */
export const usualModes = ({ instructions: sets }: Machine): readonly PeerMode[] =>
  peerModeNames.filter((mode) => precisionOf(mode) !== 'bfloat16' || sets.some((name) => brainFloats.includes(name)))

const gflops = (x: number | undefined): string => (x === undefined ? 'not measured' : `${Math.round(x / 1e9)} GFLOP/s`)
export const showMachine = ({
  processor,
  cores,
  memoryGiB,
  instructions: sets,
  peak,
  torch: version,
}: Machine): string =>
  [
    `${processor}, ${cores} cores (${sets.length === 0 ? 'instruction sets unknown' : sets.join(', ')}), ${memoryGiB} GiB; ` +
      (version === null ? 'no PyTorch' : `PyTorch ${version}`),
    `products of large matrices: ${
      Object.entries(peak)
        .map(([dtype, x]) => `${dtype} ${gflops(x)}`)
        .join(', ') || 'not measured'
    }`,
  ].join('\n')
