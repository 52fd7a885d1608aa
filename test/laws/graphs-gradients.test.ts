import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sumAll, type Tensor } from '../../src/declare/index.ts'
import type { Values } from '../../src/execute/executor.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { grad } from '../../src/transform/index.ts'
import { type Case, caseOf, frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { along, centralDifference, lossOf, variables } from '../arbitrary/differentiate.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { evaluate } from '../arbitrary/run.ts'

/** No derivative is what the limit of differences says: that is the op's purpose. */
const differentiable = opKinds.filter((op) => op !== 'stopGradient')
const tolerance = 1e-6

/** Feeds without the leaves that an expression does not have. */
const fedTo = (y: Tensor, feeds: Values): Values => {
  const types = feedTypes(frozen({ y }))
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => name in types))
}
/** d f(x + t v) / dt at 0, by `grad` and by differences. */
const slopesAgree = async (f: Tensor, wrt: readonly Tensor[], phase: number, feeds: Values): Promise<Tensor> => {
  const slope = along(f, wrt, phase)
  const { exact } = await evaluate({ exact: slope }, feeds)
  const own = fedTo(f, feeds)
  const found = exact?.data[0] ?? Number.NaN
  const expected = await centralDifference(f, wrt, phase, own)
  const value = (await evaluate({ f }, own)).f?.data[0] ?? Number.NaN
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(found), Math.abs(value)))
  return slope
}
const gradientsAgree = async ({ outputs, feeds }: Case): Promise<void> => {
  const loss = lossOf(outputs)
  const wrt = variables(loss)
  if (wrt.length === 0) return
  const slope = await slopesAgree(loss, wrt, 0.3, feeds)
  await slopesAgree(slope, wrt, 0.7, feeds)
}

describe('gradients, and gradients of gradients, are limits of differences', () => {
  test.each(differentiable)('%s', (op) => check(fc.asyncProperty(caseOf(op), gradientsAgree), 40))
  test('generated graphs', () => check(fc.asyncProperty(arbitraryGraph({ ops: differentiable }), gradientsAgree), 150))
})

test('no gradient flows through stopGradient', () =>
  check(
    fc.asyncProperty(caseOf('stopGradient'), async ({ outputs, feeds }) => {
      const loss = lossOf(outputs)
      const slopes = await evaluate(
        { dx: sumAll(...grad(loss, variables(loss))) },
        fedTo(sumAll(...grad(loss, variables(loss))), feeds),
      )
      expect(slopes.dx?.data.every((d) => d === 0)).toBe(true)
    }),
  ))
