import { roundings } from '../../graph/half.ts'
import { type DType, isFloat, type Shape } from '../../graph/types.ts'
import { spread, touched, type View } from './view.ts'

/** How numbers lie in the arena, 4 bytes each: those of half precision rounded, bools as 0 or 1. */
export type Kind = 'float' | 'int'
export const kindOf = (dtype: DType): Kind => (isFloat(dtype) ? 'float' : 'int')

/** What has no instruction of 4 lanes is computed by these, lane by lane. */
export const lanes = {
  log: { of: Math.log, from: 'float', to: 'float', arity: 1 },
  tanh: { of: Math.tanh, from: 'float', to: 'float', arity: 1 },
  sin: { of: Math.sin, from: 'float', to: 'float', arity: 1 },
  cos: { of: Math.cos, from: 'float', to: 'float', arity: 1 },
  float16: { of: roundings.float16, from: 'float', to: 'float', arity: 1 },
  bfloat16: { of: roundings.bfloat16, from: 'float', to: 'float', arity: 1 },
  truncated: { of: (x: number) => x | 0, from: 'float', to: 'int', arity: 1 },
  quotient: { of: (a: number, b: number) => (a / b) | 0, from: 'int', to: 'int', arity: 2 },
} as const
export type Lane = keyof typeof lanes

/** A float that is added to round to a whole number: n + shift ends in the bits of n. */
export const shift = 12_582_912
const shiftBits = 0x4b400000

const one = '(i32.const 1)'
const truth = (comparison: string): string => `(v128.and ${comparison} (i32x4.splat ${one}))`

/** What a loop can do to 4 lanes at once, in WebAssembly's text. */
export const instructions = {
  neg: (a: string) => `(f32x4.neg ${a})`,
  abs: (a: string) => `(f32x4.abs ${a})`,
  sqrt: (a: string) => `(f32x4.sqrt ${a})`,
  floor: (a: string) => `(f32x4.floor ${a})`,
  add: (a: string, b: string) => `(f32x4.add ${a} ${b})`,
  sub: (a: string, b: string) => `(f32x4.sub ${a} ${b})`,
  mul: (a: string, b: string) => `(f32x4.mul ${a} ${b})`,
  div: (a: string, b: string) => `(f32x4.div ${a} ${b})`,
  max: (a: string, b: string) => `(f32x4.max ${a} ${b})`,
  min: (a: string, b: string) => `(f32x4.min ${a} ${b})`,
  /** The first operand where it is no number. */
  pmin: (a: string, b: string) => `(f32x4.pmin ${a} ${b})`,
  pmax: (a: string, b: string) => `(f32x4.pmax ${a} ${b})`,
  equal: (a: string, b: string) => truth(`(f32x4.eq ${a} ${b})`),
  less: (a: string, b: string) => truth(`(f32x4.lt ${a} ${b})`),
  isTrue: (a: string) => truth(`(f32x4.ne ${a} (f32x4.splat (f32.const 0)))`),
  copysign: (a: string, b: string) => `(v128.bitselect ${a} ${b} (i32x4.splat (i32.const 0x7fffffff)))`,
  negInt: (a: string) => `(i32x4.neg ${a})`,
  absInt: (a: string) => `(i32x4.abs ${a})`,
  addInt: (a: string, b: string) => `(i32x4.add ${a} ${b})`,
  subInt: (a: string, b: string) => `(i32x4.sub ${a} ${b})`,
  mulInt: (a: string, b: string) => `(i32x4.mul ${a} ${b})`,
  maxInt: (a: string, b: string) => `(i32x4.max_s ${a} ${b})`,
  minInt: (a: string, b: string) => `(i32x4.min_s ${a} ${b})`,
  equalInt: (a: string, b: string) => truth(`(i32x4.eq ${a} ${b})`),
  lessInt: (a: string, b: string) => truth(`(i32x4.lt_s ${a} ${b})`),
  isTrueInt: (a: string) => truth(`(i32x4.ne ${a} (i32x4.splat (i32.const 0)))`),
  select: (c: string, a: string, b: string) => `(v128.bitselect ${a} ${b} (i32x4.ne ${c} (i32x4.splat (i32.const 0))))`,
  toFloat: (a: string) => `(f32x4.convert_i32x4_s ${a})`,
  /** The whole number n of the float n + `shift`. */
  shifted: (a: string) => `(i32x4.sub ${a} (i32x4.splat (i32.const ${shiftBits})))`,
  /** The bits of 2^n, of n or of the float n + `shift`. */
  powerOf2: (a: string) => `(i32x4.add (i32x4.shl ${a} (i32.const 23)) (i32x4.splat (i32.const 0x3f800000)))`,
  halved: (a: string) => `(i32x4.shr_s ${a} ${one})`,
} as const
export type Instruction = keyof typeof instructions
export type LoopOp = Instruction | Lane
export const isLane = (op: LoopOp): op is Lane => Object.hasOwn(lanes, op)

/** One element of an array as arithmetic on elements at the same place of others. Shared parts are the same object. */
export type Expression =
  | { readonly kind: 'load'; readonly view: View }
  | { readonly kind: 'number'; readonly value: number; readonly of: Kind }
  | { readonly kind: 'apply'; readonly op: LoopOp; readonly operands: readonly Expression[] }

export const load = (view: View): Expression => ({ kind: 'load', view })
export const float = (value: number): Expression => ({ kind: 'number', value, of: 'float' })
export const whole = (value: number): Expression => ({ kind: 'number', value, of: 'int' })
export const apply = (op: LoopOp, ...operands: readonly Expression[]): Expression => ({ kind: 'apply', op, operands })

/** Every part of expressions once, operands first. */
export const partsOf = (roots: readonly Expression[]): readonly Expression[] => {
  const found = new Set<Expression>()
  const visit = (e: Expression): void => {
    if (found.has(e)) return
    if (e.kind === 'apply') for (const o of e.operands) visit(o)
    found.add(e)
  }
  for (const root of roots) visit(root)
  return [...found]
}
export const loadsOf = (roots: readonly Expression[]): readonly View[] =>
  partsOf(roots).flatMap((e) => (e.kind === 'load' ? [e.view] : []))

/** The same arithmetic on other views of what it loads, where there is one of each. */
export const overViews = (e: Expression, view: (v: View) => View | undefined): Expression | undefined => {
  const done = new Map<Expression, Expression>()
  for (const p of partsOf([e])) {
    if (p.kind === 'number') done.set(p, p)
    else if (p.kind === 'load') {
      const other = view(p.view)
      if (other === undefined) return undefined
      done.set(p, load(other))
    } else done.set(p, { ...p, operands: p.operands.map((o) => done.get(o) ?? o) })
  }
  return done.get(e)
}
export const spreadTo = (e: Expression, shape: Shape): Expression => overViews(e, (v) => spread(v, shape)) ?? e

/** The load that reads the most. */
export const leading = (roots: readonly Expression[]): View | undefined =>
  loadsOf(roots).reduce<View | undefined>(
    (most, v) => (most === undefined || touched(v) > touched(most) ? v : most),
    undefined,
  )
