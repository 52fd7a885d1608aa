import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import type { LatentError } from '../../src/error.ts'
import { floats } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { E, type Either, pipe } from '../../src/prelude.ts'
import { everyName, present, tolerances } from '../arbitrary/executors.ts'
import { adam, adamFeeds, difference, graphOf, right, run } from './onnx-support.ts'

const faults = (e: Either<readonly LatentError[], unknown>): readonly LatentError[] => (E.isLeft(e) ? e.left : [])
const carry = { w: 'net.weight', m: 'm/net.weight', v: 'v/net.weight' }

describe.each(await present(everyName))('the contract, on $name', ({ name, executor }) => {
  const compile = async (g: Graph, options: Parameters<typeof executor.compile>[1] = { mode: 'training' }) =>
    right(await executor.compile(g, options)())

  test('a stepper follows the reference, and leaves what it was given alone', async () => {
    const g = adam()
    const { x, t, ...start } = adamFeeds()
    if (x === undefined || t === undefined) throw new Error('no x or t')
    const before = JSON.stringify(start)
    const [ours, theirs] = await Promise.all(
      [executor, reference].map(async (e) =>
        right(await right(await e.compile(g, { mode: 'training' })()).start(carry, start)()),
      ),
    )
    if (ours === undefined || theirs === undefined) throw new Error('no stepper')
    for (let i = 0; i < 5; i++) {
      const [a, b] = [right(await ours.step({ x, t })()), right(await theirs.step({ x, t })())]
      expect(Object.keys(a)).toEqual(['loss'])
      expect(difference(a.loss, b.loss)).toBeLessThan(5 * tolerances[name].op)
    }
    const [a, b] = [right(await ours.read()), right(await theirs.read())]
    for (const leaf of Object.values(carry)) expect(difference(a[leaf], b[leaf])).toBeLessThan(5 * tolerances[name].op)
    const again = right(await ours.read())
    right(await ours.step({ x, t })())
    expect(again).toEqual(a)
    expect(JSON.stringify(start)).toBe(before)
    ours.dispose()
    ours.dispose()
    expect(faults(await ours.step({ x, t })())).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
    expect(faults(await ours.read())).toMatchObject([{ tag: 'run' }])
  })

  test('a second step while one runs is an error', async () => {
    const g = adam()
    const { x, t, ...start } = adamFeeds()
    if (x === undefined || t === undefined) throw new Error('no x or t')
    const stepper = right(await (await compile(g)).start(carry, start)())
    const [first, second] = await Promise.all([stepper.step({ x, t })(), stepper.step({ x, t })()])
    expect(E.isRight(first)).toBe(true)
    expect(faults(second)).toMatchObject([{ tag: 'run', got: 'a step while another runs' }])
    right(await stepper.step({ x, t })())
    stepper.dispose()
  })

  test('two runs are equal to the bit', async () => {
    const g = adam()
    const [a, b] = [await run(executor, g, adamFeeds()), await run(executor, g, adamFeeds())]
    expect(a).toEqual(b)
  })

  test('every feed that does not fit is named', async () => {
    const program = await compile(adam())
    const feeds = adamFeeds()
    const wrong = await program.run({
      ...Object.fromEntries(Object.entries(feeds).filter(([name]) => name !== 'x')),
      t: floats([2, 3], new Float32Array(6)),
      'net.weight': floats([4, 2], new Float32Array(7)),
      'net.wieght': floats([4, 2], new Float32Array(8)),
    })()
    expect(faults(wrong)).toMatchObject([
      { tag: 'run', at: 'net.wieght', hint: 'did you mean "net.weight"?' },
      { tag: 'run', at: 'x', expected: 'float32[3, 4]', got: 'nothing' },
      { tag: 'run', at: 'net.weight', expected: '8 numbers for float32[4, 2]', got: '7 numbers' },
      { tag: 'run', at: 't', expected: 'float32[3, 2]', got: 'float32[2, 3]' },
    ])
    program.dispose()
    program.dispose()
    expect(faults(await program.run(feeds)())).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
  })

  test('a carry that does not fit is an error', async () => {
    const program = await compile(adam())
    const { x: _x, t: _t, ...start } = adamFeeds()
    expect(faults(await program.start({ lost: 'net.weight' }, start)())).toMatchObject([{ tag: 'run', at: 'lost' }])
    expect(faults(await program.start({ loss: 'net.weight' }, start)())).toMatchObject([
      { tag: 'run', at: 'net.weight' },
    ])
    expect(faults(await program.start(carry, {})())).toHaveLength(3)
    program.dispose()
  })

  test('constants are baked in and no longer fed', async () => {
    const g = adam()
    const { 'net.weight': weight, ...rest } = adamFeeds()
    if (weight === undefined) throw new Error('no weight')
    for (const mode of ['sampling', 'training'] as const) {
      const program = await compile(g, { mode, constants: { 'net.weight': weight } })
      const [got, expected] = [right(await program.run(rest)()), await run(reference, g, adamFeeds())]
      for (const y of Object.keys(expected)) expect(difference(got[y], expected[y])).toBeLessThan(tolerances[name].op)
      expect(faults(await program.run(adamFeeds())())).toMatchObject([{ tag: 'run', at: 'net.weight' }])
      program.dispose()
    }
    const wrong = await executor.compile(g, { mode: 'sampling', constants: { nothing: weight, x: weight } })()
    expect(faults(wrong)).toMatchObject([
      { tag: 'compile', at: 'nothing' },
      { tag: 'compile', at: 'x' },
    ])
  })

  test('float64 and shared memory are taken as feeds', async () => {
    const g = graphOf({ y: pipe(D.input('x', float(3)), D.mul(2)) })
    const shared = new Float32Array(new SharedArrayBuffer(12))
    shared.set([1, 2, 3])
    for (const data of [shared, Float64Array.of(1, 2, 3)])
      expect(await run(executor, g, { x: floats([3], data) })).toEqual({ y: floats([3], Float32Array.of(2, 4, 6)) })
  })

  test('what a run returned stays as it was', async () => {
    const g = graphOf({ y: pipe(D.input('x', float(3)), D.mul(2)), z: D.input('x', float(3)) })
    const program = await compile(g)
    const data = Float32Array.of(1, 2, 3)
    const first = right(await program.run({ x: floats([3], data) })())
    data.fill(9)
    right(await program.run({ x: floats([3], data) })())
    expect(first).toEqual({ y: floats([3], Float32Array.of(2, 4, 6)), z: floats([3], Float32Array.of(1, 2, 3)) })
    program.dispose()
  })

  test('disposing while a run waits does no harm', async () => {
    const program = await compile(adam())
    const waiting = program.run(adamFeeds())()
    program.dispose()
    await waiting
    expect(faults(await program.run(adamFeeds())())).toHaveLength(1)
  })
})
