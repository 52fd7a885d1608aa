import type { CompileOptions } from '../executor.ts'
import type { Costs } from './costs.ts'
import type { Lowered } from './devices.ts'

/** What calls are lowered for. */
export interface Target {
  readonly device: Lowered
  readonly mode: CompileOptions['mode']
  /** Channels a block of the processor's blocked convolutions; null where there are none, or the runtime blocks. */
  readonly block: number | null
  readonly costs: Costs
}
