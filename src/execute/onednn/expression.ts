import { roundings } from '../../graph/half.ts'
import { type DType, type Half, isFloat, type Shape } from '../../graph/types.ts'
import { type Element, keyOf, orderOf, spread, touched, type View } from './view.ts'

/** What a loop computes with, 4 at once: floats of half precision are widened when they are loaded. */
export type Kind = 'float' | 'int'
export const kindOf = (dtype: DType): Kind => (isFloat(dtype) ? 'float' : 'int')

/** What has no instruction of 4 lanes is computed by these, lane by lane. */
export const lanes = {
  log: { of: Math.log, from: 'float', to: 'float', arity: 1 },
  tanh: { of: Math.tanh, from: 'float', to: 'float', arity: 1 },
  sin: { of: Math.sin, from: 'float', to: 'float', arity: 1 },
  cos: { of: Math.cos, from: 'float', to: 'float', arity: 1 },
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
  /** A float times 2^n, of the float n + `shift`. */
  raised: (a: string, b: string) => `(i32x4.add ${a} (i32x4.shl ${b} (i32.const 23)))`,
  halved: (a: string) => `(i32x4.shr_s ${a} ${one})`,
} as const
export type Instruction = keyof typeof instructions
/** An instruction, a function of single numbers, or the rounding to half precision. */
export type LoopOp = Instruction | Lane | Half
export const isRounding = (op: LoopOp): op is Half => op === 'float16' || op === 'bfloat16'
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
/** A function that gives what is alike as the same object, whenever it is asked; what it gave before is not looked into again. */
export const sharing = (): ((root: Expression) => Expression) => {
  const [known, numbers] = [new Map<string, Expression>(), new Map<Expression, number>()]
  return (root) => {
    const done = new Map<Expression, Expression>()
    const shared = (e: Expression): Expression => {
      const met = numbers.has(e) ? e : done.get(e)
      if (met !== undefined) return met
      const operands = e.kind === 'apply' ? e.operands.map(shared) : []
      const of = operands.map((o) => numbers.get(o))
      const key =
        e.kind === 'load'
          ? keyOf(e.view)
          : e.kind === 'number'
            ? `${e.of} ${Object.is(e.value, -0) ? '-0' : e.value}`
            : `${e.op} ${of}`
      const found = known.get(key) ?? (e.kind === 'apply' ? { ...e, operands } : e)
      known.set(key, found)
      numbers.set(found, numbers.get(found) ?? numbers.size)
      done.set(e, found)
      return found
    }
    return shared(root)
  }
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

/** Of operands in half precision their results are so too; those of `select` behind the first. */
const exact: ReadonlySet<LoopOp> = new Set<LoopOp>(['neg', 'abs', 'max', 'min', 'pmin', 'pmax', 'floor', 'select'])
/** As what an expression's numbers can lie without being rounded. */
export const elementOf = (root: Expression): Element => {
  const found = new Map<Expression, Element>()
  const agreed = (all: readonly Expression[]): Element => {
    const own = all.flatMap((e) => (e.kind === 'number' ? [] : [found.get(e) ?? 'word']))
    const [first = 'word'] = own
    const fits = (e: Expression): boolean => e.kind !== 'number' || isExactly(first, e)
    return own.every((e) => e === first) && all.every(fits) ? first : 'word'
  }
  if (root.kind === 'apply' && !exact.has(root.op)) return isRounding(root.op) ? root.op : 'word'
  for (const e of partsOf([root])) {
    if (e.kind === 'load') found.set(e, e.view.element)
    else if (e.kind === 'apply' && isRounding(e.op)) found.set(e, e.op)
    else if (e.kind === 'apply' && exact.has(e.op))
      found.set(e, agreed(e.op === 'select' ? e.operands.slice(1) : e.operands))
  }
  return found.get(root) ?? 'word'
}
const isExactly = (element: Element, { value, of }: Expression & { readonly kind: 'number' }): boolean =>
  element !== 'word' && of === 'float' && Object.is(roundings[element](value), value)
/** The expression rounded where its numbers could not lie so otherwise. */
export const fitting = (e: Expression, element: Element): Expression => {
  if (element === 'word') return e
  if (e.kind === 'number') return { ...e, value: roundings[element](e.value) }
  return elementOf(e) === element ? e : apply(element, e)
}
/** The array that an expression is, or is but for the rounding to what is wanted. */
export const unrounded = (e: Expression, element: Element): View | undefined => {
  const [of] = e.kind === 'apply' && e.op === element ? e.operands : [e]
  return of?.kind === 'load' ? of.view : undefined
}

/** The load that reads the most. */
export const leading = (roots: readonly Expression[]): View | undefined =>
  loadsOf(roots).reduce<View | undefined>(
    (most, v) => (most === undefined || touched(v) > touched(most) ? v : most),
    undefined,
  )
/** Axes in the order in which a new array is laid: as what it is computed from lies; a repeated axis behind the one before it. */
export const orderFor = (e: Expression, shape: Shape): Shape => {
  const lead = leading([e])
  if (lead === undefined || touched(lead) <= 1) return shape.map((_, i) => i)
  let last = Number.MAX_SAFE_INTEGER
  const strides = shape.map((length, axis) => {
    const own = lead.strides[axis] ?? 0
    if (own !== 0 && length !== 1) last = own
    return last
  })
  return orderOf({ ...lead, strides })
}
