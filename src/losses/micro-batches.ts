import { add, apply, isTensor, mul, slice, type Tensor, topological } from '../declare/index.ts'
import type { Shape } from '../graph/types.ts'
import { fault } from '../nn/fault.ts'
import { pipe, RR } from '../prelude.ts'
import { substitution } from '../transform/index.ts'
import type { Loss } from './reconstruction.ts'

/** Rows of a leaf that has a row a sample. */
const rowsOf = (x: Tensor, batch: number, from: number): Tensor => {
  const [rows = 0, ...rest] = x.shape
  const whole = (leaf: Tensor): Tensor => {
    const shape: Shape = [batch, ...rest]
    if (isTensor('noise')(leaf)) return apply('noise', { ...leaf.attributes, shape }, [])
    if (isTensor('input')(leaf))
      return apply('input', { ...leaf.attributes, type: { ...leaf.attributes.type, shape } }, [])
    return leaf
  }
  return pipe(whole(x), slice([from, ...rest.map(() => 0)], [rows, ...rest]))
}

/**
 * The loss of a batch as the mean of the losses of `parts` micro-batches of equal size, `lossOf(batch / parts)`: the same for a loss
 * and metrics that are means over samples none of which sees another. Every input and noise of that many rows has a row a sample.
 * Forward and backward of the parts have nothing but the parameters in common, so an executor may compute them side by side.
 *
 *     inMicroBatches(2, 64, (batch) => diffusionLoss(model, batch))
 */
export const inMicroBatches = <L extends Loss>(parts: number, batch: number, lossOf: (batch: number) => L): Loss => {
  if (parts === 1) return lossOf(batch)
  if (batch % parts !== 0)
    return { loss: fault('', `micro-batches that ${batch} samples fill`, `${parts} of them`), log: {} }
  const rows = batch / parts
  const { loss, log } = lossOf(rows)
  const roots = [loss, ...Object.values<Tensor>(log)]
  const leaves = topological(roots).filter((x) => (isTensor('input')(x) || isTensor('noise')(x)) && x.shape[0] === rows)
  const each = Array.from({ length: parts }, (_, part) =>
    substitution(
      Object.fromEntries(
        leaves.flatMap((x) =>
          isTensor('input')(x) || isTensor('noise')(x) ? [[x.attributes.name, rowsOf(x, batch, part * rows)]] : [],
        ),
      ),
      roots,
    ),
  )
  const mean = (x: Tensor): Tensor =>
    pipe(
      each.map((of) => of(x)).reduce((sum, y) => pipe(sum, add(y))),
      mul(1 / parts),
    )
  return { loss: mean(loss), log: RR.map(mean)(log) }
}
