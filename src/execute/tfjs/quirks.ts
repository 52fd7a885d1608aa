import { RR } from '../../prelude.ts'
import { binary } from './arithmetic.ts'
import type { Kernel } from './kernel.ts'
import type { Roots } from './lower.ts'
import { reached } from './program.ts'
import { type Call, call, cast, dtypeOf, scalar, type Value } from './value.ts'

/** What to write instead of a call that a backend gets wrong; the call itself where it is right. */
export type Quirk = (of: Call) => Value
export const none: Quirk = (of) => of

/** Kernels that move elements: WebGPU's shaders read their bits as float32, whatever they are (tfjs 4.22). */
const moving: readonly Kernel[] = ['Transpose', 'Sum', 'Max', 'ArgMax', 'ArgMin']
/** A cast to float32 leaves WebGPU's bits as they are and only says so; arithmetic makes the numbers. */
const asFloat = (x: Value): Value => binary('Multiply', cast(x, 'float32'), scalar('float32', 1))
/** Integers pass through float32, exact up to 2^24. */
export const webgpuQuirk: Quirk = (of) => {
  const [x] = of.inputs
  if (x === undefined || dtypeOf(x) === 'float32') return of
  if (of.kernel === 'Cast' && of.type.dtype === 'float32') return asFloat(x)
  if (!moving.includes(of.kernel)) return of
  const isIndex = of.kernel === 'ArgMax' || of.kernel === 'ArgMin'
  const { dtype } = of.type
  return cast(call(of.kernel, [asFloat(x)], { ...of.type, dtype: isIndex ? dtype : 'float32' }, of.attributes), dtype)
}

/** The same results, each call written anew, its operands first. */
export const rewrite =
  (quirk: Quirk) =>
  (roots: Roots): Roots => {
    const written = new Map<Value, Value>()
    const of = (v: Value): Value => written.get(v) ?? v
    for (const v of reached(Object.values(roots)))
      written.set(v, v.kind === 'call' ? quirk({ ...v, inputs: v.inputs.map(of) }) : v)
    return RR.map(of)(roots)
  }
