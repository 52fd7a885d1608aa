import { type Checked, collect, fail } from '../error.ts'
import { type Shape, sameShape, showShape, size } from '../graph/types.ts'
import type { StoredArray } from '../io/stored.ts'
import { E, pipe } from '../prelude.ts'
import type { LowRank } from './low-rank.ts'

/** How the parts of a module's change in a file become a product of two matrices. */

export interface Numbers {
  readonly shape: Shape
  readonly data: Float32Array
}
export const numbersOf = ({ shape, data }: StoredArray): Numbers => ({
  shape,
  data: data instanceof Float32Array ? data : Float32Array.from<number | bigint>(data, Number),
})

/** A module's parts by their names, and how much they count where the file says so otherwise than by `alpha`. */
export interface Parts {
  readonly module: string
  readonly arrays: Readonly<Record<string, Numbers>>
  /** Of the rank; where neither this nor alpha says anything, 1. */
  readonly factor: (rank: number) => number | undefined
}
/** Before the weight's own shape is known to be right. */
interface Product extends Pick<LowRank, 'rank' | 'factor' | 'down' | 'up'> {
  readonly columns: number
}

const matrix = ({ shape: [rows = 0, ...rest], data }: Numbers) => ({ rows, columns: size(rest), data })
type Matrix = ReturnType<typeof matrix>

const product = (a: Matrix, b: Matrix): Float64Array => {
  const made = new Float64Array(a.rows * b.columns)
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) {
      const x = a.data[i * a.columns + k] ?? 0
      for (let j = 0; j < b.columns; j++)
        made[i * b.columns + j] = (made[i * b.columns + j] ?? 0) + x * (b.data[k * b.columns + j] ?? 0)
    }
  return made
}

/** What is no product, as one with the identity: exact, and as wide as the weight. */
const whole = (data: Float64Array, rows: number, factor: number): Product => ({
  rank: rows,
  factor,
  columns: data.length / rows,
  down: Float32Array.from(data),
  up: Float32Array.from({ length: rows * rows }, (_, i) => (i % (rows + 1) === 0 ? 1 : 0)),
})

const alphaOver = ({ arrays, factor }: Parts, rank: number): number => {
  const alpha = arrays.alpha?.data[0]
  return alpha === undefined ? (factor(rank) ?? 1) : alpha / Math.max(rank, 1)
}
const lacking = ({ module, arrays }: Parts, expected: string): Checked<never> =>
  fail('file', module, expected, Object.keys(arrays).join(', ') || 'nothing')
const unfit = (at: string, expected: string, ...found: readonly Numbers[]): Checked<never> =>
  fail('file', at, expected, found.map(({ shape }) => showShape(shape)).join(' and '))

/** LoRA, and LoCon: of a convolution down has its window; or it is cut in two, down to fewer channels and mid with the window (Tucker). */
const lora = (parts: Parts, [, ...rest]: Shape): Checked<Product> => {
  const { module, arrays } = parts
  const { down, up, mid } = arrays
  if (down === undefined || up === undefined) return lacking(parts, 'both down and up')
  const [d, u] = [matrix(down), matrix(up)]
  if (mid === undefined) {
    if (u.columns !== d.rows) return unfit(module, 'up with as many columns as down has rows', up, down)
    return E.right({ rank: d.rows, factor: alphaOver(parts, d.rows), columns: d.columns, down: down.data, up: up.data })
  }
  const [rank = 0, inner = 0, ...window] = mid.shape
  const channels = rest[0] ?? 0
  if (u.columns !== rank || d.rows !== inner || d.columns !== channels)
    return unfit(module, 'down, mid and up that follow each other', down, mid, up)
  const taps = size(window)
  const made = new Float32Array(rank * channels * taps)
  for (let r = 0; r < rank; r++)
    for (let c = 0; c < channels; c++)
      for (let tap = 0; tap < taps; tap++) {
        let sum = 0
        for (let i = 0; i < inner; i++)
          sum += (mid.data[(r * inner + i) * taps + tap] ?? 0) * (down.data[i * channels + c] ?? 0)
        made[(r * channels + c) * taps + tap] = sum
      }
  return E.right({ rank, factor: alphaOver(parts, inner), columns: channels * taps, down: made, up: up.data })
}

/** Two products, multiplied element by element (Hyeon-Woo et al. 2022, "FedPara"). */
const loha = (parts: Parts): Checked<Product> => {
  const { hada_w1_a: a1, hada_w1_b: b1, hada_w2_a: a2, hada_w2_b: b2 } = parts.arrays
  if (a1 === undefined || b1 === undefined || a2 === undefined || b2 === undefined)
    return lacking(parts, 'hada_w1_a, hada_w1_b, hada_w2_a and hada_w2_b')
  const all = [a1, b1, a2, b2].map(matrix)
  const [p, q, r, s] = all
  if (p === undefined || q === undefined || r === undefined || s === undefined) return lacking(parts, 'four matrices')
  if (p.columns !== q.rows || r.columns !== s.rows || p.rows !== r.rows || q.columns !== s.columns)
    return unfit(parts.module, 'two products of one shape', a1, b1, a2, b2)
  const [first, second] = [product(p, q), product(r, s)]
  return E.right(
    whole(
      first.map((x, i) => x * (second[i] ?? 0)),
      p.rows,
      alphaOver(parts, q.rows),
    ),
  )
}

interface Side {
  readonly rows: number
  readonly columns: number
  readonly data: ArrayLike<number>
  /** Of what is a product itself. */
  readonly rank?: number
}
/** A Kronecker product of two matrices, each whole or a product (Yeh et al. 2024, "LyCORIS"). */
const lokr = (parts: Parts): Checked<Product> => {
  const { arrays } = parts
  const side = (k: 1 | 2): Side | undefined => {
    const [own, a, b] = [arrays[`lokr_w${k}`], arrays[`lokr_w${k}_a`], arrays[`lokr_w${k}_b`]]
    if (own !== undefined) return matrix(own)
    if (a === undefined || b === undefined || matrix(a).columns !== matrix(b).rows) return undefined
    return {
      rows: matrix(a).rows,
      columns: matrix(b).columns,
      data: product(matrix(a), matrix(b)),
      rank: matrix(b).rows,
    }
  }
  const [first, second] = [side(1), side(2)]
  if (first === undefined || second === undefined)
    return lacking(parts, 'lokr_w1 and lokr_w2, each whole or as _a and _b')
  const [rows, columns] = [first.rows * second.rows, first.columns * second.columns]
  const data = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      data[i * columns + j] =
        (first.data[Math.floor(i / second.rows) * first.columns + Math.floor(j / second.columns)] ?? 0) *
        (second.data[(i % second.rows) * second.columns + (j % second.columns)] ?? 0)
  const rank = second.rank ?? first.rank
  return E.right(whole(data, rows, rank === undefined ? 1 : alphaOver(parts, rank)))
}

const forms: readonly (readonly [RegExp, (parts: Parts, shape: Shape) => Checked<Product>])[] = [
  [/^hada_/, loha],
  [/^lokr_/, lokr],
  [/^(down|up|mid)$/, lora],
]

/** A module's change, for a weight of the shape that the file's module has. Errors: `file`, parts that are missing or do not fit. */
export const changeOf = (parts: Parts, shape: Shape): Checked<LowRank> => {
  const own = forms.filter(([pattern]) => Object.keys(parts.arrays).some((part) => pattern.test(part)))
  const [form, ...more] = own
  if (form === undefined || more.length > 0) return lacking(parts, 'the parts of one kind of adapter')
  return pipe(
    form[1](parts, shape),
    E.flatMap(({ columns, ...change }) => {
      const [out = 1, ...rest] = shape
      const found = [change.up.length / Math.max(change.rank, 1), columns]
      return change.rank === 0 || sameShape(found, [out, size(rest)])
        ? E.right({ ...change, shape })
        : fail('file', parts.module, `a change of ${showShape(shape)}`, `one of ${showShape(found)}`)
    }),
  )
}

/** All of them. */
export const changesOf = (all: readonly (readonly [Parts, Shape])[]): Checked<readonly LowRank[]> =>
  collect(all.map(([parts, shape]) => changeOf(parts, shape)))
