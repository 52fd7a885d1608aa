import { RR } from '../prelude.ts'
import {
  type Codec,
  type Decoded,
  flag,
  integer,
  list,
  nullable,
  number,
  record,
  tagged,
  text,
  word,
} from '../schema.ts'
import { dtype, shape, tensorType } from './types.ts'

/**
 * How a parameter starts, as data. `uniform` is U(-bound, bound), `normal` is N(mean, std^2), its mean 0 where left out, `values`
 * holds one number for each element. `loaded` has no start: the array is read from a file that the user names.
 */
export const initializer = tagged('kind', {
  zeros: record({}),
  ones: record({}),
  constant: record({ value: number() }),
  uniform: record({ bound: number({ min: 0 }) }),
  normal: record({ std: number({ min: 0 }) }, {}, { mean: number() }),
  values: record({ data: list(number(), { min: 1 }) }),
  loaded: record({}),
})
/** How a parameter begins. */
export type Initializer = Decoded<typeof initializer>

/** What the values of a tensor mean; `lint` reports where a claim meets another expectation. */
export const meanings = ['pixels in [-1, 1]', 'pixels in [0, 1]', 'raw latents', 'scaled latents'] as const
/** What the values of a tensor mean. */
export type Meaning = (typeof meanings)[number]
const meaning: Codec<Meaning> = word(meanings)

const axes = list(integer({ min: 0 }))
const pair = list(integer({ min: 1 }))
/** top, left, bottom, right */
const edges = list(integer({ min: 0 }))
const window = { stride: pair, padding: edges }
const none = record({})
const reduction = record({ axes, keepDims: flag })

/** Numbers JSON cannot write. */
const scalarWord = word(['NaN', 'Infinity', '-Infinity'])

export { scalarWord as nonFinite }

/**
 * The primitive operations: each kind with the codec of its attributes. A new op starts as a row here; the
 * compiler then asks for its row in every other table (arity, shape rule, cost, gradient, linearity, reference
 * semantics, ONNX lowering, generated cases).
 */
export const attributes = {
  // leaves
  /** Fed at every run. */
  input: record({ name: text, type: tensorType, meaning: nullable(meaning) }),
  /** A named array of the model's state; `trainable: false` for buffers. */
  parameter: record({ name: text, shape, init: initializer, trainable: flag }),
  /** Random numbers, filled per sample from a key folded with the name. */
  noise: record({ name: text, shape, distribution: word(['normal', 'uniform']) }),
  /** `data` holds one finite number for each element, or a single one for all. */
  constant: record({ type: tensorType, data: list(number(), { min: 1 }) }),

  // elementwise, one operand
  neg: none,
  abs: none,
  sign: none,
  exp: none,
  log: none,
  sqrt: none,
  tanh: none,
  sigmoid: none,
  erf: none,
  sin: none,
  cos: none,
  floor: none,
  /** x sigmoid(x) */
  silu: none,
  cast: record({ to: dtype }),
  /** The identity, through which no gradient flows. */
  stopGradient: none,
  /** The identity; says what the values mean (`claims`) or must mean (`expects`). */
  mark: record({ claims: nullable(meaning), expects: nullable(meaning) }),
  /** The identity; an executor may compute a cheap operand anew here rather than keep it since its first use. */
  recompute: none,
  /** The first of two operands, not before the second is there: what is computed from it is computed behind that, and anew. */
  barrier: none,

  // elementwise, two operands, broadcast as NumPy does
  add: none,
  sub: none,
  mul: none,
  div: none,
  maximum: none,
  minimum: none,
  equal: none,
  less: none,

  /** select(condition, whereTrue, whereFalse), broadcast */
  select: none,

  // reductions
  sum: reduction,
  reduceMax: reduction,
  /** Index of the first greatest element, int32, axis dropped. */
  argMax: record({ axis: integer({ min: 0 }) }),
  argMin: record({ axis: integer({ min: 0 }) }),
  softmax: record({ axis: integer({ min: 0 }) }),

  // products
  /** Batched over leading axes, which broadcast; operands of rank 2 or more. */
  matmul: record({ transposeA: flag, transposeB: flag }),
  /** x[N,C,H,W], w[O,C,h,w] -> [N,O,H',W'] (cross-correlation) */
  conv2d: record(window),
  /** dy[N,O,H',W'], w[O,C,h,w] -> dx[N,C,size] */
  convInputGrad: record({ ...window, size: pair }),
  /** x[N,C,H,W], dy[N,O,H',W'] -> dw[O,C,kernel] */
  convWeightGrad: record({ ...window, kernel: pair }),

  // movement
  reshape: record({ shape }),
  transpose: record({ permutation: axes }),
  slice: record({ start: axes, size: shape }),
  /** Zeros before and after each axis. */
  pad: record({ low: axes, high: axes }),
  concat: record({ axis: integer({ min: 0 }) }),
  broadcast: record({ shape }),
  /** table[V, ...rest], indices[...i] -> [...i, ...rest]; an index outside the table is the caller's error. */
  gather: none,
  /** indices[...i], updates[...i, ...rest] -> [rows, ...rest]; rows hit twice are summed. */
  scatterAdd: record({ rows: integer({ min: 1 }) }),
  /** x[N,C,H,W] -> [N,C,H f0,W f1] */
  upsampleNearest: record({ factor: pair }),
  /** x[N,C,H f0,W f1] -> [N,C,H,W], the greatest of each f0 by f1 window */
  maxPool: record({ factor: pair }),

  // normalisation, over groups of consecutive channels and all positions: x[N,C,...]
  /** (x - mean) / sqrt(var + eps) * weight[C] + bias[C] */
  groupNorm: record({ groups: integer({ min: 1 }), eps: number({ min: 0 }) }),
  /** (x - mean) / sqrt(var + eps) */
  standardize: record({ groups: integer({ min: 1 }), eps: number({ min: 0 }) }),
  /** 1 / sqrt(var + eps), [N, groups] */
  groupRstd: record({ groups: integer({ min: 1 }), eps: number({ min: 0 }) }),
} as const

/** The names of the ops. */
export type OpKind = keyof typeof attributes
/** What each op has beside its operands. */
export type Attributes = { readonly [K in OpKind]: Decoded<(typeof attributes)[K]> }
/** A total table over the op kinds. */
export type OpTable<F extends { readonly [K in OpKind]: unknown }> = { readonly [K in OpKind]: F[K] }

/** Ops by family, each in one: what they have in common is said once, in every table over op kinds. */
export const families = {
  leaf: ['input', 'parameter', 'noise', 'constant'],
  unary: ['neg', 'abs', 'sign', 'exp', 'log', 'sqrt', 'tanh', 'sigmoid', 'erf', 'sin', 'cos', 'floor', 'silu'],
  /** Their result is their first operand. */
  identity: ['stopGradient', 'mark', 'recompute', 'barrier'],
  arithmetic: ['add', 'sub', 'mul', 'div', 'maximum', 'minimum'],
  comparison: ['equal', 'less'],
  choice: ['cast', 'select'],
  reduction: ['sum', 'reduceMax', 'argMax', 'argMin', 'softmax'],
  product: ['matmul'],
  convolution: ['conv2d', 'convInputGrad', 'convWeightGrad'],
  movement: [
    'reshape',
    'transpose',
    'slice',
    'pad',
    'concat',
    'broadcast',
    'gather',
    'scatterAdd',
    'upsampleNearest',
    'maxPool',
  ],
  normalisation: ['groupNorm', 'standardize', 'groupRstd'],
} as const satisfies Readonly<Record<string, readonly OpKind[]>>
export type Family = keyof typeof families
/** The ops of a family, or of several. */
export type OpOf<F extends Family> = (typeof families)[F][number]
/** Each element of the result depends on those at its place. */
export type ElementwiseOp = OpOf<'unary' | 'identity' | 'arithmetic' | 'comparison' | 'choice'>
/** Rows of a table for all ops of a family. */
export const each = <K extends OpKind, A>(ops: readonly K[], row: A): Readonly<Record<K, A>> => {
  const rows = RR.fromEntries(ops.map((op) => [op, row] as const))
  if (hasAll(ops, rows)) return rows
  throw new Error('a table without all of its rows')
}
const hasAll = <K extends string, A>(
  keys: readonly K[],
  rows: Readonly<Record<string, A>>,
): rows is Readonly<Record<K, A>> => keys.every((key) => key in rows)

const { leaf, unary, identity, arithmetic, comparison } = families
/** Ops whose operands broadcast as NumPy's do. */
export const broadcastingOps: ReadonlySet<OpKind> = new Set<OpKind>([...arithmetic, ...comparison, 'select'])

/** Number of operands; `null` where it varies (one or more). */
export const arity: { readonly [K in OpKind]: number | null } = {
  ...each(leaf, 0),
  ...each([...unary, ...identity, 'cast'], 1),
  ...each([...arithmetic, ...comparison, ...families.product, ...families.convolution], 2),
  barrier: 2,
  select: 3,
  ...each([...families.reduction, ...families.movement], 1),
  concat: null,
  gather: 2,
  scatterAdd: 2,
  ...each(families.normalisation, 1),
  groupNorm: 3,
}

/** Ops whose result is another view of their first operand: the same numbers in the same order. */
export const viewOps: ReadonlySet<OpKind> = new Set(['reshape', ...identity])
/** Ops whose results are among their operands' numbers, or these with another sign: of operands in half precision they are so too. */
export const exactOps: ReadonlySet<OpKind> = new Set<OpKind>([
  ...(['neg', 'abs', 'sign', 'floor', 'maximum', 'minimum', 'select'] as const),
  ...identity,
  ...families.movement.filter((op) => op !== 'scatterAdd'),
])

export const opKinds = Object.keys(attributes).filter((k): k is OpKind => k in attributes)
export const isOpKind = (s: string): s is OpKind => Object.hasOwn(attributes, s)
