import { discreteProcess, flowProcess, type Process } from '../diffusion/index.ts'
import type { Checked } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { noiseSchedule } from '../schedulers/noise-schedule.ts'
import type { Schedule } from './schedule.ts'

/** The process that a schedule declares. Errors (`config`): those of `noiseSchedule`, at pointers inside the declaration. */
export const processOf = (schedule: Schedule): Checked<Process> =>
  schedule.kind === 'flow' ? E.right(flowProcess(schedule)) : pipe(noiseSchedule(schedule), E.map(discreteProcess))
