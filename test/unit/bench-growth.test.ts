import { expect, test } from 'vitest'
import { exponentOf } from '../../bench/growth.ts'
import { comparedWorks, flopsOfWork, grownWorks, workNamed, works } from '../../bench/works.ts'
import { parameters } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { right } from '../arbitrary/run.ts'

test('the exponent of a power is its exponent', () => {
  for (const k of [0.5, 1, 2.25])
    expect(exponentOf([1, 2, 5, 9].map((at) => ({ at, ms: 7 * at ** k })))).toBeCloseTo(k, 10)
})

test('every work that is compared, and every one that grows, is there', () => {
  for (const name of comparedWorks) expect(Object.keys(works)).toContain(name)
  for (const { name } of Object.values(grownWorks).flat()) expect(workNamed(name)).toBeDefined()
  expect(workNamed('unet-train@speed=3')).toBeUndefined()
})

test('works that grow in parameters have as many as they are said to have', () => {
  for (const { at, name } of (grownWorks.parameters ?? []).slice(0, 2)) {
    const work = right(workNamed(name)?.() ?? expect.unreachable(name))
    if (work.kind !== 'step') throw new Error(name)
    const own = parameters(work.plan.graph).filter((p) => !/^(optimizer|ema)\./.test(p.name))
    const millions = [...new Map(own.map((p) => [p.name, size(p.shape)])).values()].reduce((a, b) => a + b, 0) / 1e6
    expect(Math.abs(millions - at)).toBeLessThan(0.05 * at)
  }
})

test('a walk takes as many times the operations of a call as it has steps', () => {
  expect(flopsOfWork('sample-guided') / 25).toBeGreaterThan(1e9)
})
