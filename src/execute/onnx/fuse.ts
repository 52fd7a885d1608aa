import { broadcastingOps } from '../../graph/ops.ts'
import { broadcastShapes, type Shape, sameShape } from '../../graph/types.ts'
import {
  type Call,
  type CallKind,
  callOf,
  isCall,
  operand,
  type Rule,
  readersOf,
  rewriteCalls,
  shapeOf,
} from './calls.ts'
import { isCheap } from './recompute.ts'

/** What a backend computes as one call, recognised in what a graph says as several. */

/** `stopGradient`, `mark` and what is not worth recomputing are what they are of. */
export const aliases = rewriteCalls(() => (c) => {
  const [of] = c.operands
  const isAlias =
    c.op === 'stopGradient' || c.op === 'mark' || (c.op === 'recompute' && of !== undefined && !isCheap(of))
  return isAlias && of !== undefined ? of : c
})

const broadcasting: ReadonlySet<CallKind> = broadcastingOps
/** What an array was broadcast or filled from. */
const source = (c: Call): Call => {
  if (isCall('broadcast')(c)) return source(operand(c, 0))
  return isCall('constant')(c) && c.attributes.data.length === 1 && c.type.shape.length > 0
    ? callOf('constant', { ...c.attributes, type: { ...c.type, shape: [] } }, [], {
        ...c,
        type: { ...c.type, shape: [] },
      })
    : c
}
/** Elementwise ops read operands as small as broadcasting allows while the result keeps its shape. */
export const broadcasts = rewriteCalls(() => (c) => {
  if (!broadcasting.has(c.op)) return c
  const operands = c.operands.reduce<readonly Call[]>((chosen, x, i) => {
    const trial = chosen.with(i, source(x))
    const joint = trial.reduce<Shape | undefined>((s, y) => s && broadcastShapes(s, shapeOf(y)), [])
    return joint !== undefined && sameShape(joint, shapeOf(c)) ? trial : chosen
  }, c.operands)
  return { ...c, operands }
})

/** A bias of one number a channel, [O, 1, 1] or [1, O, 1, 1], as a vector. */
const biasVector = (bias: Call, channels: number): Call | undefined => {
  const [first, ...rest] = shapeOf(bias).length === 4 ? shapeOf(bias) : [1, ...shapeOf(bias)]
  if (first !== 1 || !sameShape(rest, [channels, 1, 1])) return undefined
  const [vector] = isCall('reshape')(bias) ? bias.operands : []
  if (vector !== undefined && sameShape(shapeOf(vector), [channels])) return vector
  return callOf('reshape', { shape: [channels] }, [bias], {
    ...bias,
    type: { ...bias.type, shape: [channels] },
    flops: 0,
  })
}
/** conv2d(x, w) + bias, where nothing else reads the convolution, is the convolution with a bias. */
export const biases = rewriteCalls((calls): Rule => {
  const readers = readersOf(calls)
  return (c, before) => {
    if (!isCall('add')(c)) return c
    for (const [i, j] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const conv = operand(c, i)
      if (!isCall('conv2d')(conv) || conv.operands.length > 2) continue
      if (readers(operand(before, i)) !== 1 || !sameShape(shapeOf(conv), shapeOf(c))) continue
      const vector = biasVector(operand(c, j), shapeOf(c)[1] ?? 0)
      if (vector !== undefined) return { ...conv, operands: [...conv.operands, vector], flops: conv.flops + c.flops }
    }
    return c
  }
})

const isZero = (c: Call): boolean => isCall('constant')(c) && c.attributes.data.every((d) => d === 0)
/** max(x, 0) is ReLU, and the last step of a convolution that nothing else reads. */
export const rectifiers = rewriteCalls((calls): Rule => {
  const readers = readersOf(calls)
  return (c, before) => {
    if (!isCall('maximum')(c) || c.type.dtype !== 'float32') return c
    const at = c.operands.findIndex((x) => !isZero(x))
    const [x, zero] = [c.operands[at], c.operands[1 - at]]
    if (x === undefined || zero === undefined || !isZero(zero) || !sameShape(shapeOf(x), shapeOf(c))) return c
    return isCall('conv2d')(x) && readers(operand(before, at)) === 1
      ? { ...x, attributes: { ...x.attributes, rectified: true }, flops: x.flops + c.flops }
      : callOf('relu', {}, [x], c)
  }
})

/** The scores of softmax(scores) as a matrix, where nothing else reads either. */
const scoresUnder = (c: Call, before: Call, isReadOnce: (c: Call) => boolean): Call<'matmul'> | undefined => {
  if (!isCall('softmax')(c) || !isReadOnce(before)) return undefined
  const scores = operand(c, 0)
  return isCall('matmul')(scores) && isReadOnce(operand(before, 0)) && c.attributes.axis === shapeOf(scores).length - 1
    ? scores
    : undefined
}
const leading = (c: Call): Shape => shapeOf(c).slice(0, -2)
/** softmax(q k^T) v, or its transposition as v^T softmax(q k^T)^T, with the same leading axes everywhere, is attention. */
export const attentions = rewriteCalls((calls): Rule => {
  const readers = readersOf(calls)
  return (c, before) => {
    if (!isCall('matmul')(c) || c.type.dtype !== 'float32') return c
    const { transposeA, transposeB } = c.attributes
    const scoresAt = (i: number): Call<'matmul'> | undefined =>
      scoresUnder(operand(c, i), operand(before, i), (x) => readers(x) === 1)
    const rows = transposeA ? undefined : scoresAt(0)
    const columns = rows !== undefined || !transposeB ? undefined : scoresAt(1)
    const scores = rows ?? columns
    if (scores === undefined) return c
    const operands = [...scores.operands, operand(c, rows === undefined ? 0 : 1)]
    return operands.every((x) => sameShape(leading(x), leading(scores)))
      ? callOf(
          'attention',
          { scores: scores.attributes, result: c.attributes, columns: rows === undefined },
          operands,
          { ...c, flops: scores.flops + operand(c, rows === undefined ? 1 : 0).flops + c.flops },
        )
      : c
  }
})
