import { broadcastShapes, type Shape, sameShape } from '../../graph/types.ts'
import { RR } from '../../prelude.ts'
import type { Kernel } from '../tfjs/kernel.ts'
import { reached } from '../tfjs/program.ts'
import { type Call, call, type Roots, reshape, shapeOf, type Value } from '../tfjs/value.ts'

/** A call of TensorFlow's costs microseconds whatever it does, and a reshape is one: here those go that another call can do without. */

const broadcasting: ReadonlySet<Kernel> = new Set<Kernel>([
  'Add',
  'Sub',
  'Multiply',
  'RealDiv',
  'FloorDiv',
  'Maximum',
  'Minimum',
  'Equal',
  'NotEqual',
  'Less',
  'Select',
])

const withoutLeadingOnes = (shape: Shape): Shape => {
  const first = shape.findIndex((d) => d !== 1)
  return first < 0 ? [] : shape.slice(first)
}
/** Before a call that broadcasts, axes of length 1 in front need not be there. */
const unfronted = (of: Call): Value => {
  const inputs = of.inputs.map((x) => {
    const [source] = x.kind === 'call' && x.kernel === 'Reshape' ? x.inputs : []
    return source !== undefined && sameShape(withoutLeadingOnes(shapeOf(source)), withoutLeadingOnes(shapeOf(x)))
      ? source
      : x
  })
  const joint = inputs.reduce<Shape | undefined>(
    (sofar, x) => (sofar === undefined ? undefined : broadcastShapes(sofar, shapeOf(x))),
    [],
  )
  if (joint !== undefined && sameShape(joint, of.type.shape)) return { ...of, inputs }
  return of
}

/** A sum without its axes, where a reshape takes away those that were kept with length 1. */
const dropped = (of: Call, readers: ReadonlyMap<Value, number>, original: Value | undefined): Value => {
  const [sum] = of.inputs
  const [x] = sum?.kind === 'call' && sum.kernel === 'Sum' ? sum.inputs : []
  if (sum?.kind !== 'call' || x === undefined || original === undefined || readers.get(original) !== 1) return of
  const { axis } = sum.attributes
  const left = typeof axis === 'object' ? shapeOf(x).filter((_, i) => axis.every((a) => a !== i)) : undefined
  return left !== undefined && sameShape(left, of.type.shape)
    ? call('Sum', [x], of.type, { ...sum.attributes, keepDims: false })
    : of
}

/** The same results with fewer calls. */
export const lean = (roots: Roots): Roots => {
  const all = reached(Object.values(roots))
  const readers = new Map<Value, number>()
  const read = (v: Value): unknown => readers.set(v, (readers.get(v) ?? 0) + 1)
  for (const v of all) if (v.kind === 'call') v.inputs.forEach(read)
  Object.values(roots).forEach(read)
  const written = new Map<Value, Value>()
  const of = (v: Value): Value => written.get(v) ?? v
  const rewritten = (v: Call): Value => {
    const inputs = v.inputs.map(of)
    const [x] = inputs
    if (v.kernel !== 'Reshape' || x === undefined)
      return broadcasting.has(v.kernel) ? unfronted({ ...v, inputs }) : { ...v, inputs }
    const whole = reshape(x, shapeOf(v))
    return whole.kind === 'call' && whole.kernel === 'Reshape' ? dropped(whole, readers, v.inputs[0]) : whole
  }
  for (const v of all) written.set(v, v.kind === 'call' ? rewritten(v) : v)
  return RR.map(of)(roots)
}
