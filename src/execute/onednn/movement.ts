import type { OpKind } from '../../graph/ops.ts'
import { size, type TensorType } from '../../graph/types.ts'
import { E, pipe } from '../../prelude.ts'
import type { Dense, Kernel } from '../reference/dense.ts'
import { kernels } from '../reference/kernels.ts'
import { indexing } from '../reference/movement.ts'
import type { Draft } from './draft.ts'
import { type Expression, float, kindOf, load, orderFor, overViews, whole } from './expression.ts'
import type { Lowerings, Operand } from './lowering.ts'
import { part, permuted, spread } from './view.ts'

/** The kernel of the reference over row-major arrays, for what no loop of ours and no primitive does. */
const byReference =
  <K extends OpKind>(op: K) =>
  (...[attributes, , type, draft, given]: Parameters<Lowerings<K>[K]>): Expression => {
    const kernel: Kernel<K> = kernels[op]
    const inputs = given.map((x) => ({ view: draft.laid(x.value, x.type.shape), dtype: x.type.dtype }))
    const output = { view: draft.fresh(type.shape, undefined, draft.elementOfType(type.dtype)), dtype: type.dtype }
    draft.host({
      inputs,
      output,
      compute: (arrays, into) => {
        const dense = given.map((x, i): Dense => ({ type: x.type, data: Float64Array.from(arrays[i] ?? []) }))
        return size(type.shape) === 0
          ? E.right(undefined)
          : pipe(
              kernel(attributes, dense, type, {}),
              E.map((computed) => into.set(computed)),
            )
      },
    })
    return load(output.view)
  }
/** Rows of a table, which is read where it lies: it may be the largest array of a model. */
const rowsOf: Lowerings<'gather'>['gather'] = (_, [table, indices], { dtype, shape }, draft) => {
  const [rows = 0, ...inner] = table.type.shape
  const row = size(inner)
  const output = { view: draft.fresh(shape, undefined, draft.elementOfType(dtype)), dtype }
  draft.host({
    inputs: [table, indices].map(({ value, type }) => ({ view: draft.laid(value, type.shape), dtype: type.dtype })),
    output,
    compute: ([from = new Float32Array(), which = new Int32Array()], into) =>
      indexing(rows, which, () => {
        which.forEach((index, i) => {
          into.set(from.subarray(index * row, (index + 1) * row), i * row)
        })
      }),
  })
  return load(output.view)
}

const viewed = (e: Expression, view: Parameters<typeof overViews>[1]): Expression => overViews(e, view) ?? e
const zero = ({ type }: Pick<Operand, 'type'>): Expression => (kindOf(type.dtype) === 'float' ? float(0) : whole(0))

/** An array laid in the order of one of those that go into it. */
const roomFor = (draft: Draft, { shape, dtype }: TensorType, { value, type }: Operand) =>
  draft.fresh(shape, orderFor(value, type.shape), draft.elementOfType(dtype))

export const movement: Lowerings<
  | 'reshape'
  | 'transpose'
  | 'slice'
  | 'pad'
  | 'concat'
  | 'broadcast'
  | 'gather'
  | 'scatterAdd'
  | 'upsampleNearest'
  | 'argMax'
  | 'argMin'
> = {
  reshape: (_, [x], { shape }, draft) => draft.reshape(x.value, x.type.shape, shape),
  transpose: ({ permutation }, [x]) => viewed(x.value, (v) => permuted(v, permutation)),
  slice: ({ start, size: extent }, [x]) => viewed(x.value, (v) => part(v, start, extent)),
  pad: ({ low }, [x], type, draft) => {
    const into = roomFor(draft, type, x)
    draft.write(into, zero(x))
    draft.write(part(into, low, x.type.shape), x.value)
    return load(into)
  },
  concat: ({ axis }, [first], { shape, dtype }, draft, xs) => {
    const into = roomFor(draft, { shape, dtype }, first)
    let start = 0
    for (const { value, type } of xs) {
      draft.write(
        part(
          into,
          shape.map((_, i) => (i === axis ? start : 0)),
          type.shape,
        ),
        value,
      )
      start += type.shape[axis] ?? 0
    }
    return load(into)
  },
  broadcast: (_, [x], { shape }, draft) =>
    x.value.kind === 'apply' && size(shape) > size(x.type.shape)
      ? load(spread(draft.store(x.value, x.type.shape), shape))
      : viewed(x.value, (v) => spread(v, shape)),
  gather: rowsOf,
  scatterAdd: byReference('scatterAdd'),
  upsampleNearest: ({ factor }, [x], { shape }, draft) => {
    const [n = 0, c = 0, h = 0, w = 0] = x.type.shape
    const [down = 1, right = 1] = factor
    const apart = draft.reshape(
      x.value.kind === 'apply' ? load(draft.store(x.value, x.type.shape)) : x.value,
      x.type.shape,
      [n, c, h, 1, w, 1],
    )
    const all = [n, c, h, down, w, right]
    return draft.reshape(
      load(
        draft.store(
          viewed(apart, (v) => spread(v, all)),
          all,
        ),
      ),
      all,
      shape,
    )
  },
  argMax: byReference('argMax'),
  argMin: byReference('argMin'),
}
