import { type Shape, sameShape } from '../../graph/types.ts'
import type { Call, Result, Value } from './value.ts'

/** An array [N, C, H, W] of `shape`, lying otherwise. */
export interface Laid {
  readonly value: Value
  readonly shape: Shape
}
/** Finds an array as it lies in a layout. */
export type InLayout = (x: Value) => Laid | undefined

/** Ops that do in a layout what they do out of it, on arrays of one shape. */
const pointwise: ReadonlySet<string> = new Set(['Relu', 'Less', 'Where'])
const isNumber = (x: Value): boolean => x.kind === 'constant' && x.data.length === 1

/**
 * Arrays in the layout that a kind of call takes them out of, and that have been through nothing but pointwise ops since: these are
 * done in the layout. Looked for once a call: they share.
 */
export const carriedFrom = (taken: (call: Call) => Laid | undefined): InLayout => {
  const known = new WeakMap<Call, Laid | null>()
  const find: InLayout = (x) => {
    if (x.kind !== 'result') return undefined
    const found = known.get(x.call)
    if (found !== undefined) return found ?? undefined
    const laid = taken(x.call) ?? throughPointwise(x)
    known.set(x.call, laid ?? null)
    return laid
  }
  const throughPointwise = (x: Result): Laid | undefined => {
    const { op, domain, inputs } = x.call
    if (domain !== '' || !pointwise.has(op)) return undefined
    const arrays = inputs.map((input) => (isNumber(input) ? null : find(input)))
    const shapes = arrays.flatMap((a) => (a ? [a.shape] : []))
    const [same] = shapes
    if (same === undefined || arrays.includes(undefined) || !shapes.every((s) => sameShape(s, same))) return undefined
    return {
      value: { ...x, call: { ...x.call, inputs: inputs.map((input, i) => arrays[i]?.value ?? input) } },
      shape: same,
    }
  }
  return find
}
