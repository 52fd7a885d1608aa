import type { Tensor } from '@tensorflow/tfjs-core'
import { type Core, choose, type Device, disposeAll, type Tensors, uploadConstant } from './device.ts'
import { type Attribute, type Attributes, kernelInputs } from './kernel.ts'
import type { Program, Step } from './program.ts'

type Open = NonNullable<Parameters<ReturnType<Core['engine']>['runKernel']>[2]>
const isNested = (a: readonly number[] | readonly (readonly number[])[]): a is readonly (readonly number[])[] =>
  Array.isArray(a[0])
const opened = (a: Attribute): Open[string] =>
  typeof a !== 'object' ? a : isNested(a) ? a.map((row) => [...row]) : [...a]
/** TensorFlow.js types its attributes as changeable. */
const open = (attributes: Attributes): Open =>
  Object.fromEntries(Object.entries(attributes).map(([name, a]) => [name, opened(a)]))

type Kernel = (inputs: readonly Tensor[]) => Tensor

/** Concat takes a list, which only its op is typed for. */
const kernelOf = ({ tf }: Device, { kernel, attributes }: Step): Kernel => {
  const names = kernelInputs[kernel]
  const own = open(attributes)
  if (names === null) {
    const { axis } = attributes
    return (inputs) => tf.concat([...inputs], typeof axis === 'number' ? axis : 0)
  }
  const engine = tf.engine()
  return (inputs) => {
    const named: Record<string, Tensor> = {}
    inputs.forEach((x, i) => {
      named[names[i] ?? ''] = x
    })
    return engine.runKernel(kernel, named, own)
  }
}

/** A program on a device. */
export interface Machine {
  /** Reads the leaves, which stay the caller's; the outputs become the caller's. Nothing else is left behind. */
  readonly run: (leaves: Tensors) => Tensors
  readonly dispose: () => void
}

/** Stands around a kernel call, and gives what the call gave. */
export type Watch = (step: Step, inputs: readonly Tensor[], call: () => Tensor) => Tensor
const unwatched: Watch = (_step, _inputs, call) => call()

/** Puts the constants on the device. Every intermediate is disposed of at its last use, known from the program. */
export const prepare = (device: Device, program: Program, watch = unwatched): Machine => {
  const constants = new Map(program.constants.map(({ register, value }) => [register, uploadConstant(device, value)]))
  const steps = program.steps.map((step) => ({ ...step, run: kernelOf(device, step) }))
  return {
    run: (leaves) => {
      choose(device)
      const live = new Map<number, Tensor>()
      const read = new Map(constants)
      for (const [name, register] of Object.entries(program.leaves)) {
        const fed = leaves[name]
        if (fed === undefined) throw new Error(`leaf ${name} was not fed`)
        read.set(register, fed)
      }
      const at = (register: number): Tensor => {
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
        return Object.fromEntries(Object.entries(program.outputs).map(([name, r]) => [name, at(r).clone()]))
      } finally {
        for (const x of live.values()) x.dispose()
      }
    },
    dispose: () => disposeAll(Object.fromEntries([...constants].map(([register, x]) => [register, x]))),
  }
}
