import { fnv1a } from '../../distributions/random.ts'
import { assemble } from '../../execute/onnx/assemble.ts'
import type { Model } from '../../execute/onnx/proto.ts'
import { call, cast, concat, constantOf, leaf, reshape, slice, type Value } from '../../execute/onnx/value.ts'
import { type Shape, size } from '../../graph/types.ts'

/**
 * The noise of `distributions/random.ts` in ONNX's standard operators: Threefry-2x32 on words held in int64, since few runtimes add
 * unsigned ones, and Wichura's quantile in float64. The same numbers but for the last bits of a runtime's logarithm.
 */

const word = 4294967296
const integer = (n: number): Value => constantOf('int64', [], BigInt64Array.of(BigInt(n)))
const column = (all: readonly number[]): Value => constantOf('int64', [all.length, 1], BigInt64Array.from(all, BigInt))
const wordSize = integer(word)
const add = (a: Value, b: Value): Value => call('Add', [a, b])
const low = (x: Value): Value => call('Mod', [x, wordSize])
const high = (x: Value): Value => call('Div', [x, wordSize])
const plus = (a: Value, b: Value): Value => low(add(a, b))
const xor = (a: Value, b: Value): Value => call('BitwiseXor', [a, b])
const rotated = (x: Value, by: number): Value => {
  const shifted = call('Mul', [x, integer(2 ** by)])
  return add(low(shifted), high(shifted))
}

type Words = readonly [Value, Value]
const skeinParity = 0x1bd11bda
const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const
/** Two words of counters to two random words, under keys; all broadcast. */
const threefry = ([k0, k1]: Words, [c0, c1]: Words): Words => {
  let keys: readonly [Value, Value, Value] = [k0, k1, xor(xor(k0, k1), integer(skeinParity))]
  let [x, y]: Words = [plus(c0, k0), plus(c1, k1)]
  for (let injection = 1; injection <= 5; injection++) {
    for (const by of rotations[injection % 2 === 1 ? 0 : 1]) {
      x = plus(x, y)
      y = xor(rotated(y, by), x)
    }
    const [first, ...others] = keys
    keys = [...others, first]
    x = plus(x, keys[0])
    y = low(add(add(y, keys[1]), integer(injection)))
  }
  return [x, y]
}

const foldedNumber = 0x40000000
const foldedString = 0x80000000
/** `drawKey` of one sample, the first, at each of these steps: [steps, 1]. */
const keysOf = (seed: Value, steps: readonly number[], name: string): Words => {
  const root: Words = [low(seed), high(seed)]
  const atStep = threefry(root, [column(steps), integer(foldedNumber)])
  const named = threefry(atStep, [integer(fnv1a(name)), integer(foldedString)])
  return threefry(named, [integer(0), integer(foldedNumber)])
}

const number = (x: number): Value => constantOf('float64', [], Float64Array.of(x))
const times = (a: Value, b: Value): Value => call('Mul', [a, b])
/** ((c0 x + c1) x + c2) ... */
const horner = (x: Value, [first = 0, ...rest]: readonly number[]): Value =>
  rest.reduce<Value>((sum, c) => add(times(sum, x), number(c)), number(first))
const ratio = (x: Value, above: readonly number[], below: readonly number[]): Value =>
  call('Div', [horner(x, above), horner(x, below)])

/** Wichura's algorithm AS 241, as in `normal-quantile.ts`. */
const central = {
  above: [
    2509.0809287301227, 33430.57558358813, 67265.7709270087, 45921.95393154987, 13731.69376550946, 1971.5909503065513,
    133.14166789178438, 3.3871328727963665,
  ],
  below: [
    5226.495278852854, 28729.085735721943, 39307.89580009271, 21213.794301586597, 5394.196021424751, 687.1870074920579,
    42.31333070160091, 1,
  ],
} as const
const tail = {
  above: [
    0.0007745450142783414, 0.022723844989269184, 0.2417807251774506, 1.2704582524523684, 3.6478483247632045,
    5.769497221460691, 4.630337846156546, 1.4234371107496835,
  ],
  below: [
    1.0507500716444169e-9, 0.0005475938084995345, 0.015198666563616457, 0.14810397642748008, 0.6897673349851,
    1.6763848301838038, 2.053191626637759, 1,
  ],
} as const
/** Standard normal numbers of words. */
const normalOf = (words: Value): Value => {
  const w = cast(words, 'float64')
  const q = call('Div', [call('Sub', [w, number(2147483647.5)]), number(word)])
  const near = call('Sub', [number(0.180625), times(q, q)])
  const inside = times(q, ratio(near, central.above, central.below))
  const isLow = call('Less', [q, number(0)])
  const rest = call('Where', [isLow, w, call('Sub', [number(word - 1), w])])
  const share = call('Div', [add(times(rest, number(2)), number(1)), number(8589934592)])
  const far = call('Sub', [call('Sqrt', [call('Neg', [call('Log', [share])])]), number(1.6)])
  const size = ratio(far, tail.above, tail.below)
  const outside = call('Where', [isLow, call('Neg', [size]), size])
  const isNear = call('LessOrEqual', [call('Abs', [q]), number(0.425)])
  return cast(call('Where', [isNear, inside, outside]), 'float32')
}

/** Noise of the first sample at steps, `[steps, ...shape]`, from a seed of int64. */
const drawn = (seed: Value, { steps, leaf: name, shape }: Draws): Value => {
  const [n, pairs] = [size(shape), Math.ceil(size(shape) / 2)]
  const counters = constantOf(
    'int64',
    [1, pairs],
    BigInt64Array.from({ length: pairs }, (_, i) => BigInt(i)),
  )
  const [x, y] = threefry(keysOf(seed, steps, name), [counters, integer(0)])
  const sides = [x, y].map((half) => reshape(half, [steps.length, pairs, 1]))
  const words = reshape(concat(2, sides), [steps.length, 2 * pairs])
  const own = n === 2 * pairs ? words : slice(words, [0, 0], [steps.length, n])
  return reshape(normalOf(own), [steps.length, ...shape])
}

/** Noise that is drawn at steps, by the leaf that it is of. */
export interface Draws {
  readonly name: string
  readonly leaf: string
  readonly steps: readonly number[]
  /** Of one step. */
  readonly shape: Shape
}
/** From `seed` to the noise of each, `[steps, ...shape]`, by its name. */
export const noiseModel = (all: readonly Draws[]): Model =>
  assemble(
    [{ name: 'seed', type: { dtype: 'int64', shape: [] } }],
    all.map((draws) => ({
      name: draws.name,
      type: { dtype: 'float32', shape: [draws.steps.length, ...draws.shape] },
      value: drawn(leaf('seed'), draws),
    })),
  )
