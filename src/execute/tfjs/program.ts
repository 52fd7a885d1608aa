import { postorder } from '../../graph/order.ts'
import type { Half, TensorType } from '../../graph/types.ts'
import { RR } from '../../prelude.ts'
import type { Attributes, Kernel } from './kernel.ts'
import type { Constant, Data, Roots, Value } from './value.ts'

/** A kernel call: the registers it reads, the one it writes, and those that nobody reads after it. */
export interface Step {
  readonly kernel: Kernel
  readonly inputs: readonly number[]
  readonly attributes: Attributes
  readonly output: number
  /** Of what it makes. */
  readonly type: TensorType
  /** As of the call. */
  readonly insteadOf?: Half
  readonly ends: readonly number[]
}
/** Kernel calls in order, over registers that are written once. */
export interface Program {
  readonly leaves: Readonly<Record<string, number>>
  readonly constants: readonly { readonly register: number; readonly value: Constant }[]
  readonly steps: readonly Step[]
  readonly outputs: Readonly<Record<string, number>>
}

/** Everything that the roots reach, inputs before users. */
export const reached = (roots: readonly Value[]): readonly Value[] =>
  postorder(roots, (v) => (v.kind === 'call' ? v.inputs : []))

/** Constants up to this many elements are compared by content, larger ones by identity. */
const smallConstant = 1024

/** Where zeros are below zero, which their text does not say. */
const negativeZeros = (data: Data): string =>
  data instanceof Float32Array ? data.reduce((places, x, i) => (Object.is(x, -0) ? `${places} -${i}` : places), '') : ''
/** Registers by content, so that what is written twice is computed once. */
const numbering = () => {
  const registers = new Map<Value, number>()
  const unique = new Map<string | Value, number>()
  const keyOf = (v: Value): string | Value =>
    v.kind === 'leaf'
      ? `leaf ${v.name}`
      : v.kind === 'constant'
        ? v.data.length <= smallConstant
          ? `constant ${v.type.dtype}[${v.type.shape}] ${v.data}${negativeZeros(v.data)}`
          : v
        : `${v.kernel} ${v.inputs.map((x) => registers.get(x))} ${JSON.stringify(v.attributes)}`
  return {
    /** The register of a value, and whether it is the first of its content. */
    place: (v: Value): { readonly register: number; readonly first: boolean } => {
      const key = keyOf(v)
      const known = unique.get(key)
      const register = known ?? unique.size
      unique.set(key, register)
      registers.set(v, register)
      return { register, first: known === undefined }
    },
    at: (v: Value): number => {
      const found = registers.get(v)
      if (found === undefined) throw new Error('a value that was not reached')
      return found
    },
  }
}

/** One sweep from the last step up: whatever is met for the first time is read there for the last time. */
const withEnds = (steps: readonly Omit<Step, 'ends'>[], outputs: readonly number[]): readonly Step[] => {
  const made = new Set(steps.map((s) => s.output))
  const needed = new Set(outputs)
  return steps
    .toReversed()
    .map((step) => {
      const ends = [...new Set(step.inputs)].filter((r) => made.has(r) && !needed.has(r))
      for (const r of ends) needed.add(r)
      return { ...step, ends }
    })
    .toReversed()
}

/** The calls that the roots need, in order. Pure: equal roots give equal programs. */
export const schedule = (roots: Roots): Program => {
  const { place, at } = numbering()
  const leaves: Record<string, number> = {}
  const constants: { readonly register: number; readonly value: Constant }[] = []
  const steps: Omit<Step, 'ends'>[] = []
  for (const v of reached(Object.values(roots))) {
    const { register, first } = place(v)
    if (!first) continue
    if (v.kind === 'leaf') leaves[v.name] = register
    else if (v.kind === 'constant') constants.push({ register, value: v })
    else {
      const { kernel, attributes, type, insteadOf } = v
      steps.push({
        kernel,
        inputs: v.inputs.map(at),
        attributes,
        output: register,
        type,
        ...(insteadOf === undefined ? {} : { insteadOf }),
      })
    }
  }
  const outputs = RR.map(at)(roots)
  return { leaves, constants, steps: withEnds(steps, Object.values(outputs)), outputs }
}
