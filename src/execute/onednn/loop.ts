import { type Shape, size } from '../../graph/types.ts'
import { type Expression, type Kind, type LoopOp, leading, partsOf } from './expression.ts'
import { type Element, orderOf, type View } from './view.ts'

/** Numbers of a buffer as a nest of loops walks over them: a step for each level, in elements. */
export interface Walk {
  readonly buffer: number
  readonly element: Element
  readonly offset: number
  readonly steps: Shape
}
export type Operand =
  | { readonly kind: 'array' | 'step'; readonly index: number }
  | { readonly kind: 'number'; readonly value: number; readonly of: Kind }
export interface Step {
  readonly op: LoopOp
  readonly operands: readonly Operand[]
}
export type Reduction = 'sum' | 'sumInt' | 'max' | 'maxInt'
export interface Result extends Walk {
  readonly operand: Operand
}
export interface Level {
  readonly length: number
  /** Whether the elements along it become one. */
  readonly reduced: boolean
}

/** A nest of loops, the outermost level first: loads elements, computes, and stores results or what they are reduced to. */
export interface Loop {
  readonly levels: readonly Level[]
  /** The level of which 4 elements are computed at once; deeper ones are reduced. */
  readonly vector: number
  readonly arrays: readonly Walk[]
  readonly steps: readonly Step[]
  readonly results: readonly Result[]
  readonly reduction: Reduction | undefined
}

/** What is computed over all indices of a shape, and where it goes: an axis of step 0 in `into` is reduced. */
export interface Nest {
  readonly shape: Shape
  readonly values: readonly { readonly value: Expression; readonly into: View }[]
  readonly reduced: readonly number[]
  readonly reduction: Reduction | undefined
}

interface Axis {
  readonly length: number
  readonly reduced: boolean
  /** Of each array and result. */
  readonly steps: Shape
}
const at = (s: Shape, i: number): number => s[i] ?? 0

/** As many summands as are added one after another: partial sums keep what would be rounded away. */
const summands = 512
const blockOf = (length: number): number => {
  for (let b = summands; b > 16; b--) if (length % b === 0) return b
  return length
}
const inBlocks = (axis: Axis): readonly Axis[] => {
  const block = axis.reduced && axis.length > summands ? blockOf(axis.length) : axis.length
  return block === axis.length
    ? [axis]
    : [
        { ...axis, length: axis.length / block, steps: axis.steps.map((s) => s * block) },
        { ...axis, length: block },
      ]
}

/** Neighbours become one axis where every array goes on from the one to the other. */
const merged = (axes: readonly Axis[]): readonly Axis[] => {
  const done: Axis[] = []
  for (const inner of axes) {
    const outer = done.at(-1)
    const goesOn =
      outer !== undefined &&
      outer.reduced === inner.reduced &&
      outer.steps.every((s, i) => s === at(inner.steps, i) * inner.length)
    if (goesOn) done.splice(-1, 1, { ...inner, length: outer.length * inner.length })
    else done.push(inner)
  }
  return done
}

/** Kept axes and reduced ones, so that those lie innermost along which most of the memory does. */
const arranged = (axes: readonly Axis[]): { readonly axes: readonly Axis[]; readonly vector: number } => {
  const kept = axes.filter(({ reduced }) => !reduced)
  const reduced = axes.filter((a) => a.reduced)
  const last = axes.at(-1)
  if (reduced.length === 0 || last?.reduced !== false) {
    const all = [...merged(kept), ...merged(reduced).flatMap(inBlocks)]
    return { axes: all, vector: all.length - 1 }
  }
  const outer = merged(kept)
  return { axes: [...outer, ...merged(reduced).flatMap(inBlocks)], vector: outer.length - 1 }
}

const one: Axis = { length: 1, reduced: false, steps: [] }

export const loopOf = ({ shape, values, reduced, reduction }: Nest): Loop => {
  const parts = partsOf(values.map(({ value }) => value))
  const views = parts.flatMap((e) => (e.kind === 'load' ? [e.view] : []))
  const lead = reduction === undefined ? values[0]?.into : leading(values.map(({ value }) => value))
  const all = [...views, ...values.map(({ into }) => into)]
  const order = lead === undefined ? shape.map((_, i) => i) : orderOf(lead)
  const { axes, vector } = arranged(
    order.flatMap((axis) =>
      at(shape, axis) === 1
        ? []
        : [
            {
              length: at(shape, axis),
              reduced: reduced.includes(axis),
              steps: all.map(({ strides }) => at(strides, axis)),
            },
          ],
    ),
  )
  const levels = axes.length === 0 ? [one] : axes
  const walk = ({ buffer, element, offset }: View, i: number): Walk => ({
    buffer,
    element,
    offset,
    steps: levels.map(({ steps }) => at(steps, i)),
  })
  const operands = new Map<Expression, Operand>()
  const [arrays, steps]: [Walk[], Step[]] = [[], []]
  const known = (e: Expression): Operand => {
    const o = operands.get(e)
    if (o === undefined) throw new Error('an operand behind its use')
    return o
  }
  /** What is loaded and computed alike is so once. */
  const alike = new Map<string, Operand>()
  const once = (key: string, make: () => Operand): Operand => {
    const found = alike.get(key) ?? make()
    alike.set(key, found)
    return found
  }
  let loads = 0
  for (const e of parts) {
    if (e.kind === 'number') operands.set(e, e)
    else if (e.kind === 'load') {
      const w = walk(e.view, loads++)
      const key = `load ${w.buffer} ${w.offset} ${w.steps}`
      operands.set(
        e,
        once(key, () => ({ kind: 'array', index: arrays.push(w) - 1 })),
      )
    } else {
      const { op } = e
      const given = e.operands.map(known)
      const key = `${op} ${given.map((o) => (o.kind === 'number' ? `${o.of} ${Object.is(o.value, -0) ? '-0' : o.value}` : `${o.kind} ${o.index}`))}`
      operands.set(
        e,
        once(key, () => ({ kind: 'step', index: steps.push({ op, operands: given }) - 1 })),
      )
    }
  }
  return {
    levels: levels.map(({ length, reduced: r }) => ({ length, reduced: r })),
    vector: Math.max(0, vector),
    arrays,
    steps,
    results: values.map(({ value, into }, i) => ({ ...walk(into, views.length + i), operand: known(value) })),
    reduction: levels.some((l) => l.reduced) ? reduction : undefined,
  }
}

/** A loop, and the buffers that it touches. */
export const touching = (loop: Loop) => ({
  loop,
  reads: loop.arrays.map(({ buffer }) => buffer),
  writes: loop.results.map(({ buffer }) => buffer),
})

/** Elements that the loop goes through. */
export const iterations = ({ levels }: Loop): number => size(levels.map(({ length }) => length))

/** Which pointer a walk goes by, and how many elements behind it it reads or writes. */
export interface Pointed {
  readonly pointer: number
  readonly shift: number
}
/** Walks of the same steps over one buffer go by one pointer, at the lowest of their offsets: first those of arrays, then of results. */
export const pointersOf = ({
  arrays,
  results,
}: Loop): { readonly pointers: readonly Walk[]; readonly of: readonly Pointed[] } => {
  const [pointers, places]: [Walk[], Map<string, number>] = [[], new Map()]
  const of = [...arrays, ...results].map((walk) => {
    const key = `${walk.buffer} ${walk.steps}`
    const pointer = places.get(key) ?? pointers.push(walk) - 1
    places.set(key, pointer)
    if (walk.offset < (pointers[pointer]?.offset ?? 0)) pointers[pointer] = walk
    return { walk, pointer }
  })
  return {
    pointers,
    of: of.map(({ walk, pointer }) => ({ pointer, shift: walk.offset - (pointers[pointer]?.offset ?? 0) })),
  }
}
