import { type Arrays, type Device, disposeAll, type Held } from './device.ts'
import type { Program, Step } from './program.ts'

/** A program on a device. */
export interface Machine {
  /** Reads the leaves, which stay the caller's; the outputs become the caller's. Nothing else is left behind. */
  readonly run: (leaves: Arrays) => Arrays
  readonly dispose: () => void
}

/** Stands around a kernel call, and gives what the call gave. */
export type Watch = (step: Step, inputs: readonly Held[], call: () => Held) => Held
const unwatched: Watch = (_step, _inputs, call) => call()

const constantsOn = (device: Device, program: Program): ReadonlyMap<number, Held> => {
  device.choose()
  return new Map(program.constants.map(({ register, value }) => [register, device.upload(value)]))
}

/** Puts the constants on the device. Every intermediate is disposed of at its last use, known from the program. */
export const prepare = (device: Device, program: Program, watch = unwatched): Machine => {
  const constants = constantsOn(device, program)
  const steps = program.steps.map((step) => ({ ...step, run: device.kernel(step) }))
  return {
    run: (leaves) => {
      device.choose()
      const live = new Map<number, Held>()
      const read = new Map(constants)
      for (const [name, register] of Object.entries(program.leaves)) {
        const fed = leaves[name]
        if (fed === undefined) throw new Error(`leaf ${name} was not fed`)
        read.set(register, fed)
      }
      const at = (register: number): Held => {
        const found = live.get(register) ?? read.get(register)
        if (found === undefined) throw new Error(`register ${register} ended too early`)
        return found
      }
      try {
        for (const step of steps) {
          const { output, ends, run } = step
          const inputs = step.inputs.map(at)
          live.set(
            output,
            watch(step, inputs, () => run(inputs)),
          )
          for (const end of ends) {
            live.get(end)?.dispose()
            live.delete(end)
          }
        }
        return Object.fromEntries(Object.entries(program.outputs).map(([name, r]) => [name, device.clone(at(r))]))
      } finally {
        for (const x of live.values()) x.dispose()
      }
    },
    dispose: () => disposeAll(Object.fromEntries([...constants].map(([register, x]) => [register, x]))),
  }
}
