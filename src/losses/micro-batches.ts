import { add, faulty, leafName, leafOfShape, mul, slice, type Tensor, topological } from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { substitution } from '../transform/index.ts'
import type { Loss } from './reconstruction.ts'

/** A leaf of one row a sample for more samples; undefined for every other expression. */
const widened = (x: Tensor, rows: number, batch: number): Tensor | undefined => {
  const [first, ...rest] = x.shape
  return first !== rows || x.op === 'parameter' ? undefined : leafOfShape(x, [batch, ...rest])
}

/**
 * The loss of a batch as the mean of the losses of `parts` micro-batches of equal size, `lossOf(batch / parts)`: the same for a loss
 * and metrics that are means over samples none of which sees another. Every input and noise of that many rows has a row a sample.
 * A batch that the parts do not divide is a shape fault of the loss.
 * Forward and backward of the parts have nothing but the parameters in common, so an executor may compute them side by side.
 *
 *     inMicroBatches(2, 64, (batch) => diffusionLoss(model, batch))
 */
export const inMicroBatches = <L extends Loss>(parts: number, batch: number, lossOf: (batch: number) => L): Loss => {
  if (parts === 1) return lossOf(batch)
  if (batch % parts !== 0)
    return { loss: faulty('', `micro-batches that ${batch} samples fill`, `${parts} of them`), log: {} }
  const rows = batch / parts
  const { loss, log } = lossOf(rows)
  const roots = [loss, ...Object.values<Tensor>(log)]
  const leaves = topological(roots).flatMap((x) => {
    const [name, whole] = [leafName(x), widened(x, rows, batch)]
    return name === undefined || whole === undefined ? [] : [{ name, whole, shape: x.shape }]
  })
  const partOf = (from: number): Readonly<Record<string, Tensor>> =>
    Object.fromEntries(
      leaves.map(({ name, whole, shape }) => [name, slice([from, ...shape.slice(1).map(() => 0)], shape)(whole)]),
    )
  const each = Array.from({ length: parts }, (_, part) => substitution(partOf(part * rows), roots))
  const mean = (x: Tensor): Tensor =>
    pipe(
      each.map((of) => of(x)).reduce((sum, y) => pipe(sum, add(y))),
      mul(1 / parts),
    )
  return { loss: mean(loss), log: RR.map(mean)(log) }
}
