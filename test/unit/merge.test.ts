import { expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { mergeGradients } from '../../src/transform/index.ts'
import { difference, feedsOf, graphOf, run } from './onnx-support.ts'

const window = { stride: [2, 1], padding: [1, 0, 1, 1] } as const
/** The gradient of w[5, 3, 3, 2] over a batch of its own. */
const gradient = (name: string, items: number, height = 8): Tensor =>
  pipe(
    D.input(`dy/${name}`, float(items, 5, height / 2, 8)),
    D.convWeightGrad(D.input(`x/${name}`, float(items, 3, height, 8)), [3, 2], window),
  )
const count = (g: ReturnType<typeof graphOf>): number => g.nodes.filter(({ op }) => op === 'convWeightGrad').length

test('the gradients of a weight over several batches are one over all', async () => {
  const sum = [gradient('b', 1), gradient('c', 3)].reduce((s, x) => pipe(s, D.add(x)), gradient('a', 2))
  const g = graphOf({ dw: sum, twice: pipe(sum, D.mul(2)) })
  const merged = mergeGradients(g)
  expect([count(g), count(merged)]).toEqual([3, 1])
  const [got, expected] = [await run(reference, merged, feedsOf(g)), await run(reference, g, feedsOf(g))]
  expect(difference(got.dw, expected.dw)).toBeLessThan(1e-6)
  expect(difference(got.twice, expected.twice)).toBeLessThan(1e-6)
})

test('what is read alone, or of pictures of another size, stays', () => {
  const [a, b] = [gradient('a', 2), gradient('b', 2)]
  for (const outputs of [
    { dw: pipe(a, D.add(b)), a },
    { dw: pipe(a, D.add(a)) },
    { dw: pipe(a, D.add(gradient('high', 2, 10))) },
    { dw: pipe(a, D.sub(b)) },
  ]) {
    const g = graphOf(outputs)
    expect(mergeGradients(g)).toEqual(g)
  }
})
