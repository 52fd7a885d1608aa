import { size } from '../../graph/types.ts'
import { RR } from '../../prelude.ts'
import { binary } from './arithmetic.ts'
import type { Kernel } from './kernel.ts'
import { reached } from './program.ts'
import {
  call,
  cast,
  dtypeOf,
  type Leaf,
  type Rewriting,
  type Roots,
  reshape,
  scalar,
  shapeOf,
  type Value,
} from './value.ts'

export const none: Rewriting = (of) => of

/**
 * Shaders that move elements read their bits as float32, whatever they are. A cast to float32 leaves the bits as they are and
 * only says so; arithmetic makes the numbers.
 */
const asFloat = (x: Value): Value => binary('Multiply', cast(x, 'float32'), scalar('float32', 1))
/** Integers pass through float32, exact up to 2^24. */
const movedAsFloat: Rewriting = (of) => {
  const [x] = of.inputs
  if (x === undefined || dtypeOf(x) === 'float32') return of
  const isIndex = of.kernel === 'ArgMax' || of.kernel === 'ArgMin'
  const { dtype } = of.type
  return cast(call(of.kernel, [asFloat(x)], { ...of.type, dtype: isIndex ? dtype : 'float32' }, of.attributes), dtype)
}
const castToFloat: Rewriting = (of) => {
  const [x] = of.inputs
  return x === undefined || of.type.dtype !== 'float32' || dtypeOf(x) === 'float32' ? of : asFloat(x)
}
/** Of rank 5 and more it is done in main memory, for which Node lacks a canvas: one axis after another needs rank 3. */
const tileByAxis: Rewriting = (of) => {
  const [x] = of.inputs
  const { reps } = of.attributes
  if (x === undefined || shapeOf(x).length < 5 || typeof reps !== 'object') return of
  return reps.reduce<Value>((tiled, r, axis) => {
    const own = shapeOf(tiled)
    if (typeof r !== 'number' || r === 1) return tiled
    const [before, extent, after] = [size(own.slice(0, axis)), own[axis] ?? 1, size(own.slice(axis + 1))]
    const flat = reshape(tiled, [before, extent, after])
    const type = { ...of.type, shape: [before, extent * r, after] }
    return reshape(call('Tile', [flat], type, { reps: [1, r, 1] }), own.with(axis, extent * r))
  }, x)
}
/** The kernel knows rank 4 at most. */
const selectFlat: Rewriting = (of) => {
  const { shape } = of.type
  if (shape.length <= 4) return of
  const type = { ...of.type, shape: [size(shape)] }
  const flat = of.inputs.map((x) => reshape(x, type.shape))
  return reshape(call('Select', flat, type), shape)
}
const webgpuQuirks: { readonly [K in Kernel]?: Rewriting } = {
  Transpose: movedAsFloat,
  Sum: movedAsFloat,
  Max: movedAsFloat,
  ArgMax: movedAsFloat,
  ArgMin: movedAsFloat,
  Cast: castToFloat,
  Tile: tileByAxis,
  Select: selectFlat,
}
/** What tfjs 4.22 gets wrong on WebGPU. */
export const webgpuQuirk: Rewriting = (of) => webgpuQuirks[of.kernel]?.(of) ?? of

/** The same results, each call written anew, its operands first; a leaf may be what is made of others. */
export const rewrite =
  (rewriting: Rewriting, leafOf: (of: Leaf) => Value = (of) => of) =>
  (roots: Roots): Roots => {
    const written = new Map<Value, Value>()
    const of = (v: Value): Value => written.get(v) ?? v
    for (const v of reached(Object.values(roots)))
      written.set(
        v,
        v.kind === 'call' ? rewriting({ ...v, inputs: v.inputs.map(of) }) : v.kind === 'leaf' ? leafOf(v) : v,
      )
    return RR.map(of)(roots)
  }
