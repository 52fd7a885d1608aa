import { bytes } from '../../graph/cost.ts'
import { isHalf, showType, type TensorType } from '../../graph/types.ts'
import type { Described } from '../explain.ts'
import type { Types } from '../feeds.ts'
import type { Program, Step } from './program.ts'

/** Registers by the types of what they hold. */
const typesOf = ({ leaves, constants, steps }: Program, fed: Types): ReadonlyMap<number, TensorType> =>
  new Map([
    ...Object.entries(leaves).flatMap(([name, register]) => {
      const type = fed[name]
      return type === undefined ? [] : [[register, type] as const]
    }),
    ...constants.map(({ register, value }) => [register, value.type] as const),
    ...steps.map(({ output, type }) => [output, type] as const),
  ])

/** A kernel, and what it computes in where that is not float32 or integers alone. */
const nameOf = ({ kernel, type, inputs, insteadOf }: Step, typeAt: (register: number) => TensorType): string => {
  if (kernel === 'Cast') return `Cast from ${inputs.map((r) => typeAt(r).dtype).join()} to ${type.dtype}`
  if (insteadOf !== undefined) return `${kernel} in float32, between casts from and to ${insteadOf}`
  const half = [type, ...inputs.map(typeAt)].map(({ dtype }) => dtype).find(isHalf)
  return half === undefined ? kernel : `${kernel} in ${half}`
}

/** What the steps make and outputs hold, and the most that is there at once beside that: a reshape is where its input is. */
const memoryOf = ({ steps, outputs }: Program): { readonly outputs: number; readonly temporary: number } => {
  const holder = new Map<number, number>()
  const users = new Map<number, number>()
  const held = new Map<number, number>()
  let [live, most] = [0, 0]
  const root = (register: number): number => holder.get(register) ?? register
  for (const { kernel, inputs, output, type, ends } of steps) {
    const at = kernel === 'Reshape' ? root(inputs[0] ?? output) : output
    holder.set(output, at)
    users.set(at, (users.get(at) ?? 0) + 1)
    if (at === output) {
      held.set(at, bytes(type))
      live += bytes(type)
    }
    most = Math.max(most, live)
    for (const end of ends) {
      const left = (users.get(root(end)) ?? 1) - 1
      users.set(root(end), left)
      if (left === 0) live -= held.get(root(end)) ?? 0
    }
  }
  const kept = [...new Set(Object.values(outputs).map(root))].reduce((sum, r) => sum + (held.get(r) ?? 0), 0)
  return { outputs: kept, temporary: Math.max(0, most - kept) }
}

/** What a program calls, kernel by kernel, of leaves of these types; memory as it is reckoned from lifetimes. Pure. */
export const described = (program: Program, fed: Types): Described => {
  const types = typesOf(program, fed)
  const typeAt = (register: number): TensorType => types.get(register) ?? { dtype: 'float32', shape: [] }
  const ops: Record<string, number> = {}
  const lines = program.steps.map((step) => {
    const name = nameOf(step, typeAt)
    ops[name] = (ops[name] ?? 0) + 1
    const { inputs, output, type, attributes } = step
    return `%${output} = ${name}(${inputs.map((r) => `%${r}`).join(', ')}) ${JSON.stringify(attributes)} : ${showType(type)}`
  })
  const given = Object.values(program.leaves).reduce((sum, r) => sum + bytes(typeAt(r)), 0)
  return {
    text: lines.join('\n'),
    ops,
    memory: { arguments: given, ...memoryOf(program), alias: 0, code: 0 },
  }
}
