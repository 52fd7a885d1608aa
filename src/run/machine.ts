import { availableParallelism, cpus, totalmem } from 'node:os'

/** The computer this runs on. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
}

export const machine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
  cores: availableParallelism(),
  memoryGiB: totalmem() / 2 ** 30,
})
