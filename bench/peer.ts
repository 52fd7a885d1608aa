import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { here, type Side, side } from './side.ts'

export type Precision = 'float32' | 'bfloat16'
export type PeerDevice = 'cpu' | 'cuda'
interface Mode {
  readonly of: 'PyTorch' | 'JAX'
  /** In which it computes. */
  readonly precision: Precision
}
const modes = <const M extends Readonly<Record<string, Mode>>>(table: M): M => table

/** How a peer can run a work; `peers/torch_peer.py` has the names of PyTorch's. JAX compiles all that it runs. */
export const peerModes = modes({
  eager: { of: 'PyTorch', precision: 'float32' },
  channels_last: { of: 'PyTorch', precision: 'float32' },
  compiled: { of: 'PyTorch', precision: 'float32' },
  jax: { of: 'JAX', precision: 'float32' },
  bfloat16: { of: 'PyTorch', precision: 'bfloat16' },
  jax_bfloat16: { of: 'JAX', precision: 'bfloat16' },
})
export type PeerMode = keyof typeof peerModes
export const peerModeNames = Object.keys(peerModes).filter((name): name is PeerMode => name in peerModes)
export const precisionOf = (mode: PeerMode): Precision => peerModes[mode].precision
/** As it is shown to people. */
export const peerName = (mode: PeerMode): string => {
  const { of } = peerModes[mode]
  return mode === 'jax' ? of : `${of}, ${mode.replace('jax_', '')}`
}

/** Sources are beside the compiled bench's parent: dist/bench -> bench. */
const scriptAt = (name: string): string =>
  [here(`./peers/${name}`), here(`../../bench/peers/${name}`)].find(existsSync) ?? ''
const scripts = { PyTorch: scriptAt('torch_peer.py'), JAX: scriptAt('jax_peer.py') } as const
/** glibc keeps freed memory, as ONNX Runtime's arena does: kinder to the peer. */
const keptMemory = { MALLOC_TRIM_THRESHOLD_: '4000000000', MALLOC_MMAP_THRESHOLD_: '4000000000' }

/** Programs of Python that have the peers; `threads` bounds those of JAX, which asks nobody. */
export interface Pythons {
  readonly python: string
  readonly jax: string
  readonly threads: number
}
export const peer = (of: Mode['of'], { python, jax, threads }: Pythons): Side =>
  side(
    spawn(of === 'JAX' ? jax : python, [scripts[of], `${threads}`], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, ...keptMemory },
    }).on('error', () => undefined),
  )
