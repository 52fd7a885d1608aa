import type { Loop, Operand, Step, TailOp } from './split.ts'

/** Bytes of a register, 4 numbers wide; arrays lie on multiples of it. */
export const registerBytes = 16

const instructions: { readonly [O in TailOp]: string } = {
  neg: 'f32x4.neg',
  abs: 'f32x4.abs',
  sqrt: 'f32x4.sqrt',
  add: 'f32x4.add',
  sub: 'f32x4.sub',
  mul: 'f32x4.mul',
  div: 'f32x4.div',
}

const prefixes = { array: '$x', scalar: '$c', step: '$t' } as const
/** A number in every lane. */
export const splat = (value: number): string => `(f32x4.splat (f32.const ${Object.is(value, -0) ? '-0' : value}))`
const read = (o: Operand): string =>
  o.kind === 'constant' ? splat(o.value) : `(local.get ${prefixes[o.kind]}${o.index})`
const expression = ({ op, operands }: Step): string => `(${instructions[op]} ${operands.map(read).join(' ')})`

/**
 * A loop as a function in WebAssembly's text: (bytes, address of each array, of each result, each scalar). All loads of an
 * iteration come before its stores. Loops of the same arithmetic have the same text.
 */
const functionOf = ({ arrays, scalars, steps, outputs, gives }: Loop): string => {
  const results = [...outputs, ...gives]
  const address = (base: string): string => `(i32.add (local.get ${base}) (local.get $i))`
  const each = <A>(xs: readonly A[], line: (x: A, i: number) => string): string => xs.map(line).join('\n')
  return `(param $bytes i32)
${each(arrays, (_, i) => `(param $a${i} i32)`)}
${each(results, (_, i) => `(param $o${i} i32)`)}
${each(scalars, (_, i) => `(param $s${i} f32)`)}
(local $i i32)
${each(arrays, (_, i) => `(local $x${i} v128)`)}
${each(scalars, (_, i) => `(local $c${i} v128)`)}
${each(steps, (_, i) => `(local $t${i} v128)`)}
${each(scalars, (_, i) => `(local.set $c${i} (f32x4.splat (local.get $s${i})))`)}
(loop $next
${each(arrays, (_, i) => `(local.set $x${i} (v128.load ${address(`$a${i}`)}))`)}
${each(steps, (step, i) => `(local.set $t${i} ${expression(step)})`)}
${each(results, ({ operand }, i) => `(v128.store ${address(`$o${i}`)} ${read(operand)})`)}
(br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const ${registerBytes}))) (local.get $bytes))))`
}

/** Loops as a module in WebAssembly's text, and the name of each one's function. */
export const moduleText = (loops: readonly Loop[]): { readonly text: string; readonly names: readonly string[] } => {
  const known = new Map<string, string>()
  const names = loops.map((loop) => {
    const body = functionOf(loop)
    const name = known.get(body) ?? `loop${known.size}`
    known.set(body, name)
    return name
  })
  const functions = [...known].map(([body, name]) => `(func (export "${name}")\n${body})`)
  return { text: `(module\n(memory (import "" "memory") 0)\n${functions.join('\n')})`, names }
}
