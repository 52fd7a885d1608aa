import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { here, type Side, side } from './side.ts'

/** How PyTorch can run a work, and the precision in which it then computes: `peers/torch_peer.py` has the same names. */
export const peerModes = {
  eager: 'float32',
  channels_last: 'float32',
  compiled: 'float32',
  bfloat16: 'bfloat16',
} as const
export type PeerMode = keyof typeof peerModes
export type Precision = (typeof peerModes)[PeerMode]
export const peerModeNames = Object.keys(peerModes).filter((name): name is PeerMode => name in peerModes)

/** Sources are beside the compiled bench's parent: dist/bench -> bench. */
const script = [here('./peers/torch_peer.py'), here('../../bench/peers/torch_peer.py')].find(existsSync) ?? ''
/** glibc keeps freed memory, as ONNX Runtime's arena does: kinder to the peer. */
const keptMemory = { MALLOC_TRIM_THRESHOLD_: '4000000000', MALLOC_MMAP_THRESHOLD_: '4000000000' }

export const torch = (python: string): Side =>
  side(
    spawn(python, [script], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, ...keptMemory },
    }).on('error', () => undefined),
  )
