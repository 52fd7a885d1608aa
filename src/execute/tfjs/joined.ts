import { type Effect, effect } from '../../error.ts'
import { float, type Shape, size } from '../../graph/types.ts'
import { carried, omit, only } from '../carry.ts'
import type { Carry, Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { inverse, type Order, permuted } from '../layout.ts'
import { type Arrays, cloneAll, type Device, disposeAll, downloadAll, type Held, uploadAll } from './device.ts'
import { moveTransposes } from './layout.ts'
import { prepare } from './machine.ts'
import { schedule } from './program.ts'
import { concat, leaf, type Roots, reshape, slice, transpose, type Value } from './value.ts'

/**
 * State that one loop works on lies end to end from step to step, as that loop reads it: nothing is laid together and taken apart at
 * each. Weights are parts of it, in the order in which their gradients come.
 */
export interface Joined {
  /** What it is fed as, and what it becomes. */
  readonly leaf: string
  readonly output: string
  readonly parts: readonly Part[]
}
/** An array of the state: from which number on it lies, and in which order of its axes. */
export interface Part extends Lying {
  readonly leaf: string
  readonly at: number
}
export interface Lying {
  readonly shape: Shape
  readonly order: Order
}

/** Its numbers in one row, as they lie. */
export const flat = (x: Value, { shape, order }: Lying): Value =>
  reshape(transpose(reshape(x, shape), order), [size(shape)])
const lengthOf = ({ parts }: Joined): number => parts.reduce((sum, { shape }) => sum + size(shape), 0)
export const leafOf = (of: Joined): Value => leaf(of.leaf, float(lengthOf(of)))
export const typesOf = (all: readonly Joined[]): Types =>
  Object.fromEntries(all.map((of) => [of.leaf, float(lengthOf(of))]))
/** The arrays that it is, by their leaves. */
export const parted = (of: Joined): Roots =>
  Object.fromEntries(
    of.parts.map(({ leaf: name, at, shape, order }) => {
      const lying = reshape(slice(leafOf(of), [at], [size(shape)]), permuted(shape, order))
      return [name, transpose(lying, inverse(order))]
    }),
  )
const together = ({ leaf: name, parts }: Joined): Roots => {
  const [first, ...rest] = parts.map((part) => flat(leaf(part.leaf, float(...part.shape)), part))
  if (first === undefined) throw new Error(`${name} of nothing`)
  return { [name]: concat(0, [first, ...rest]) }
}

/** What becomes of arrays on the device; they stay the caller's. */
const made = (device: Device, roots: Roots, arrays: Arrays): Arrays => {
  const machine = prepare(device, schedule(moveTransposes(roots)))
  try {
    return machine.run(arrays)
  } finally {
    machine.dispose()
  }
}
const joinedOf = (device: Device, of: Joined, values: Values): Held => {
  const own = uploadAll(
    device,
    only(
      values,
      of.parts.map((part) => part.leaf),
    ),
  )
  try {
    const found = made(device, together(of), own)[of.leaf]
    if (found === undefined) throw new Error(`no ${of.leaf}`)
    return found
  } finally {
    disposeAll(own)
  }
}

/** State on the device, some of it end to end. */
export interface Residence {
  readonly upload: (state: Values) => Arrays
  /** What a step leaves, as state. */
  readonly next: (results: Arrays) => Arrays
  /** Of results, what is no state. */
  readonly rest: (results: Arrays) => Arrays
  readonly download: (state: Arrays) => Effect<Values>
}
export const residence = (device: Device, all: readonly Joined[], carry: Carry): Residence => {
  const carries = { ...carry, ...Object.fromEntries(all.map((of) => [of.output, of.leaf])) }
  const partLeaves = all.flatMap(({ parts }) => parts.map((part) => part.leaf))
  const joinedLeaves = all.map((of) => of.leaf)
  return {
    upload: (state) => {
      const arrays: Record<string, Held> = { ...uploadAll(device, omit(state, partLeaves)) }
      for (const of of all) arrays[of.leaf] = joinedOf(device, of, state)
      return arrays
    },
    next: (results) => carried(results, carries),
    rest: (results) => omit(results, Object.keys(carries)),
    download: (state) =>
      effect(async (run) => {
        const values = await run(downloadAll(device, () => cloneAll(device, omit(state, joinedLeaves))))
        const apart: Record<string, Values[string]> = {}
        for (const of of all)
          Object.assign(apart, await run(downloadAll(device, () => made(device, parted(of), only(state, [of.leaf])))))
        return { ...values, ...apart }
      }),
  }
}
