/** Longer than 400 lines: one contract, all of which every engine is asked. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import type { LatentError } from '../../src/error.ts'
import { contracted } from '../../src/execute/contract.ts'
import { type Executable, type Executor, floats, type Value, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { float, type Shape } from '../../src/graph/types.ts'
import { fileArrays } from '../../src/io/file-arrays.ts'
import { readSafetensors } from '../../src/io/safetensors-file.ts'
import { writeSafetensors } from '../../src/io/safetensors-writer.ts'
import { E, type Either, pipe, TE } from '../../src/prelude.ts'
import { everyName, type Name, suiteOn, tolerances } from '../arbitrary/executors.ts'
import { adam, adamFeeds, difference, feed, graphOf, right, run } from './onnx-support.ts'

const faults = (e: Either<readonly LatentError[], unknown>): readonly LatentError[] => (E.isLeft(e) ? e.left : [])
const carry = { w: 'net.weight', m: 'm/net.weight', v: 'v/net.weight' }

/** The reference returns float64. */
const single = (values: Values): Values =>
  Object.fromEntries(
    Object.entries(values).map(([name, v]): [string, Value] => [
      name,
      v.dtype === 'float32' ? floats(v.shape, Float32Array.from(v.data)) : v,
    ]),
  )
const adamStart = () => {
  const { x, t, ...start } = adamFeeds()
  if (x === undefined || t === undefined) throw new Error('no x or t')
  return { fed: { x, t }, start }
}

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-contract-'))
afterAll(() => rmSync(folder, { recursive: true }))
/** `w` in three files, of each type of numbers, behind another array; what the file of each holds. */
const filed = async (shape: Shape) => {
  const data = Float32Array.from(feed(3, float(...shape)).data)
  const files = (['float32', 'float16', 'bfloat16'] as const).map(async (dtype) => {
    const path = join(folder, `${dtype}.safetensors`)
    const array = { dtype, shape, read: TE.right({ dtype: 'float32', shape, data } as const) }
    const one = { dtype: 'float32', shape: [1], data: data.slice(0, 1) } as const
    right(await writeSafetensors(path, { a: { dtype, shape: [1], read: TE.right(one) }, w: array })())
    const numbers = right(await readSafetensors(path)()).tensors.w
    if (numbers?.dtype !== 'float32') throw new Error(`no numbers in ${path}`)
    return [dtype, { path, numbers: floats(shape, numbers.data) }] as const
  })
  return Object.fromEntries(await Promise.all(files))
}

/** A step through a convolution that is not trained; `scale` and `scalar` are read by the arithmetic at its end. */
const freezing = () => {
  const shapes = { x: [2, 4, 5, 5], bias: [4], frozen: [4, 4, 3, 3], w: [4, 25], scale: [4, 25], scalar: [] }
  const leaf = (name: keyof typeof shapes) => D.input(name, float(...shapes[name]))
  const y = pipe(
    leaf('x'),
    D.conv2d(leaf('frozen'), { stride: [1, 1], padding: [1, 1, 1, 1] }),
    D.add(pipe(leaf('bias'), D.reshape(4, 1, 1))),
  )
  const change = pipe(y, D.sum({ axes: [0] }), D.reshape(4, 25), D.mul(leaf('scale')), D.mul(leaf('scalar')))
  const values = Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [name, feed(i, float(...shape))] as const),
  )
  const { w, ...feeds } = values
  if (w === undefined) throw new Error('no w')
  return { graph: graphOf({ y: pipe(y, D.mean()), w: pipe(leaf('w'), D.add(change)) }), w, feeds }
}

const contract =
  (name: Name) =>
  (executor: Executor): void => {
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
      for (const leaf of Object.values(carry))
        expect(difference(a[leaf], b[leaf])).toBeLessThan(5 * tolerances[name].op)
      const again = right(await ours.read())
      right(await ours.step({ x, t })())
      expect(again).toEqual(a)
      expect(JSON.stringify(start)).toBe(before)
      ours.dispose()
      ours.dispose()
      expect(faults(await ours.step({ x, t })())).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
      expect(faults(await ours.read())).toMatchObject([{ tag: 'run' }])
    })

    test('runs at once have each its own results, the first runs too', async () => {
      const { graph, w, feeds } = freezing()
      const program = await compile(graph)
      const fed = [1, 2, 3].map((k) => ({
        ...feeds,
        w: floats(
          w.shape,
          Float32Array.from(w.data, (v) => k * v),
        ),
      }))
      const together = () => Promise.all(fed.map(async (one) => right(await program.run(one)())))
      const first = await together()
      const [, , third] = fed
      if (third === undefined) throw new Error('no third')
      expect(first[2]).toEqual(right(await program.run(third)()))
      expect(first[0]?.w).not.toEqual(first[2]?.w)
      expect(await together()).toEqual(first)
      program.dispose()
    })

    test('what becomes of state is what it was before the step, swapped, doubled, or an output too', async () => {
      const [a, b, x] = [D.input('a', float(2, 3)), D.input('b', float(2, 3)), D.input('x', float(2, 3))]
      const sum = pipe(a, D.add(x))
      const ways = [
        [
          { na: b, nb: a, y: pipe(a, D.sub(b), D.mul(x)) },
          { na: 'a', nb: 'b' },
        ],
        [
          { na: sum, nb: sum, y: pipe(b, D.mul(x)) },
          { na: 'a', nb: 'b' },
        ],
        [{ na: sum, y: sum, z: pipe(sum, D.reshape(6)), b }, { na: 'a' }],
        [
          { na: b, nb: pipe(sum, D.mul(2)), y: pipe(a, D.transpose(1, 0)), old: a },
          { na: 'a', nb: 'b' },
        ],
      ] as const
      for (const [outputs, carried] of ways) {
        const steps = async (e: Executor) => {
          const program = right(await e.compile(graphOf(outputs), { mode: 'training' })())
          const stepper = right(await program.start(carried, { a: feed(1, float(2, 3)), b: feed(2, float(2, 3)) })())
          const all: Values[] = []
          for (const i of [3, 4]) {
            all.push(right(await stepper.step({ x: feed(i, float(2, 3)) })()))
            all.push(right(await stepper.read()))
          }
          program.dispose()
          return all
        }
        const [ours, theirs] = [await steps(executor), await steps(reference)]
        for (const [i, expected] of theirs.entries())
          for (const [output, value] of Object.entries(expected))
            expect(difference(ours[i]?.[output], value)).toBeLessThan(5 * tolerances[name].op)
      }
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

    test('what is brought ahead of a step gives the same numbers, for one step', async () => {
      const g = adam()
      const { x, t, ...start } = adamFeeds()
      if (x === undefined || t === undefined) throw new Error('no x or t')
      const program = await compile(g)
      const begin = async () => right(await program.start(carry, start)())
      const [one, other] = [await begin(), await begin()]
      const ahead = async (feeds: Values) =>
        other.ahead?.(feeds)() ?? Promise.reject(new Error('a stepper without ahead'))
      const first = right(await ahead({ x }))
      const [a, second] = await Promise.all([first({ t })(), ahead({ x, t })])
      const b = await right(second)({})()
      for (const found of [a, b]) expect(right(found)).toEqual(right(await one.step({ x, t })()))
      expect(right(await other.read())).toEqual(right(await one.read()))
      expect(faults(await first({ t })())).toMatchObject([{ tag: 'run', got: 'one that was' }])
      const third = right(await ahead({ x }))
      expect(faults(await third({})())).toMatchObject([{ tag: 'run', at: 't', got: 'nothing' }])
      expect(faults(await third({ t, x })())).toMatchObject([{ tag: 'run', at: 'x' }])
      expect(faults(await ahead({ tt: t }))).toMatchObject([{ tag: 'run', at: 'tt' }])
      expect(faults(await ahead({ t: x }))).toMatchObject([{ tag: 'run', at: 't', got: 'float32[3, 4]' }])
      right(await third({ t })())
      right(await ahead({ x }))
      other.dispose()
      expect(faults(await ahead({ x }))).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
      program.dispose()
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

    test('what is not finite is named where that is asked for, and fed where it is not', async () => {
      const { fed, start } = adamStart()
      const bad = floats([3, 4], Float32Array.from(fed.x.data).fill(Number.NaN, 6, 7))
      const strict = await compile(adam(), { mode: 'training', checkFinite: true })
      const at = { tag: 'run', expected: 'finite numbers' }
      expect(faults(await strict.run({ ...start, ...fed, x: bad })())).toEqual([
        { ...at, at: 'x', got: 'NaN at [1,2]' },
      ])
      const infinite = floats([4, 2], new Float32Array(8).fill(-Infinity, 7))
      expect(faults(await strict.start(carry, { ...start, 'net.weight': infinite })())).toEqual([
        { ...at, at: 'net.weight', got: '-Infinity at [3,1]' },
      ])
      const stepper = right(await strict.start(carry, start)())
      expect(faults(await stepper.step({ ...fed, x: bad })())).toEqual([{ ...at, at: 'x', got: 'NaN at [1,2]' }])
      right(await stepper.step(fed)())
      strict.dispose()
      const baked = await executor.compile(adam(), { mode: 'sampling', checkFinite: true, constants: { x: bad } })()
      expect(faults(baked)).toMatchObject([{ tag: 'compile', at: 'x' }])
      const lax = await compile(adam())
      expect(right(await lax.run({ ...start, ...fed, x: bad })()).loss?.data[0]).toBeNaN()
      lax.dispose()
    })

    test('a graph whose types are not true is refused', async () => {
      const g = graphOf({ y: D.neg(D.input('x', float(2))) })
      const lie = g.nodes.map((n) => (n.op === 'neg' ? { ...n, type: float(3) } : n))
      const compiled = async (graph: Graph) => faults(await executor.compile(graph, { mode: 'training' })())
      expect(await compiled({ ...g, nodes: lie })).toMatchObject([
        { tag: 'compile', expected: 'float32[2]', got: 'float32[3]' },
      ])
      expect(await compiled({ ...g, outputs: { y: 7 } })).toMatchObject([{ tag: 'compile', at: 'y' }])
    })

    test('disposing of a program ends its steppers, and each once', async () => {
      const { fed, start } = adamStart()
      const program = await compile(adam())
      const [one, other] = [right(await program.start(carry, start)()), right(await program.start(carry, start)())]
      right(await one.step(fed)())
      one.dispose()
      right(await other.step(fed)())
      program.dispose()
      one.dispose()
      other.dispose()
      for (const s of [one, other]) expect(faults(await s.step(fed)())).toMatchObject([{ tag: 'run', at: name }])
      expect(faults(await other.read())).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
      expect(faults(await program.start(carry, start)())).toMatchObject([{ tag: 'run' }])
    })

    test('compiling is pure: the same graph gives the same numbers, to the bit, also when started again, and is left as it was', async () => {
      const g = adam()
      const before = JSON.stringify(g)
      const { fed, start } = adamStart()
      const steps = async (program: Executable): Promise<Values> => {
        const stepper = right(await program.start(carry, start)())
        for (let i = 0; i < 3; i++) right(await stepper.step(fed)())
        const state = right(await stepper.read())
        stepper.dispose()
        return state
      }
      const [a, b] = [await compile(g), await compile(g)]
      const first = await steps(a)
      expect(await steps(b)).toEqual(first)
      expect(await steps(a), 'started again').toEqual(first)
      for (const program of [a, b]) program.dispose()
      expect(JSON.stringify(g)).toBe(before)
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

    test('held leaves give the same numbers as fed ones, and stay as they are', async () => {
      const held = freezing()
      const [{ x, bias, frozen, scale, scalar: s }, carry] = [held.feeds, { w: 'w' }]
      if (x === undefined || bias === undefined || frozen === undefined || scale === undefined || s === undefined)
        throw new Error('no feeds')
      const program = await compile(held.graph)
      const before = JSON.stringify([frozen, scale])
      const whole = right(await program.start(carry, { w: held.w, frozen, scale, scalar: s })())
      const plain = right(await program.start(carry, { w: held.w })())
      for (let i = 0; i < 3; i++) {
        const a = right(await whole.step({ x, bias })())
        const b = right(await plain.step({ x, bias, frozen, scale, scalar: s })())
        expect(Object.keys(a)).toEqual(['y'])
        expect(difference(a.y, b.y)).toBeLessThan(tolerances[name].op)
      }
      const [a, b] = [right(await whole.read()), right(await plain.read())]
      expect(Object.keys(a)).toEqual(['w'])
      expect(difference(a.w, b.w)).toBeLessThan(tolerances[name].op)
      expect(JSON.stringify([frozen, scale])).toBe(before)
      expect(faults(await whole.step({ x, bias, scale })())).toMatchObject([{ tag: 'run', at: 'scale' }])
      expect(faults(await program.start(carry, { w: held.w, frozne: frozen })())).toMatchObject([
        { tag: 'run', at: 'frozne', hint: 'did you mean "frozen"?' },
      ])
      expect(faults(await program.start(carry, { w: held.w, frozen: bias })())).toMatchObject([
        { tag: 'run', at: 'frozen' },
      ])
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

    test('files are baked in like constants, half precision widened', async () => {
      const w = await filed([8, 4, 3, 3])
      const x = D.input('x', float(1, 4, 6, 6))
      const g = graphOf({
        y: pipe(x, D.conv2d(D.input('w', float(8, 4, 3, 3)), { stride: [1, 1], padding: [1, 1, 1, 1] })),
      })
      const fed = feed(1, float(1, 4, 6, 6))
      for (const [element, { path, numbers }] of Object.entries(w)) {
        const { w: file } = right(await fileArrays(path)())
        if (file === undefined) throw new Error('no w')
        const files = { w: file }
        expect(files.w).toMatchObject({ element, shape: numbers.shape })
        const expected = await run(reference, g, { x: fed, w: numbers })
        for (const mode of ['sampling', 'training'] as const) {
          const program = await compile(g, { mode, files })
          expect(difference(right(await program.run({ x: fed })()).y, expected.y)).toBeLessThan(tolerances[name].op)
          expect(faults(await program.run({ x: fed, w: numbers })())).toMatchObject([{ tag: 'run', at: 'w' }])
          program.dispose()
        }
        const both = executor.compile(g, { mode: 'sampling', files, constants: { w: numbers } })
        expect(faults(await both())).toMatchObject([{ tag: 'compile', at: 'w', got: 'both' }])
        const lost = executor.compile(g, { mode: 'sampling', files: { weight: file, x: file } })
        expect(faults(await lost())).toMatchObject([
          { tag: 'compile', at: 'weight' },
          { tag: 'compile', at: 'x' },
        ])
      }
    })

    test('float64 and shared memory are taken as feeds', async () => {
      const g = graphOf({ y: pipe(D.input('x', float(3)), D.mul(2)) })
      const shared = new Float32Array(new SharedArrayBuffer(12))
      shared.set([1, 2, 3])
      for (const data of [shared, Float64Array.of(1, 2, 3)])
        expect(single(await run(executor, g, { x: floats([3], data) }))).toEqual({
          y: floats([3], Float32Array.of(2, 4, 6)),
        })
    })

    test('what a run returned stays as it was', async () => {
      const g = graphOf({ y: pipe(D.input('x', float(3)), D.mul(2)), z: D.input('x', float(3)) })
      const program = await compile(g)
      const data = Float32Array.of(1, 2, 3)
      const first = right(await program.run({ x: floats([3], data) })())
      data.fill(9)
      right(await program.run({ x: floats([3], data) })())
      expect(single(first)).toEqual({
        y: floats([3], Float32Array.of(2, 4, 6)),
        z: floats([3], Float32Array.of(1, 2, 3)),
      })
      program.dispose()
    })

    test('disposing while a run waits does no harm', async () => {
      const program = await compile(adam())
      const waiting = program.run(adamFeeds())()
      program.dispose()
      await waiting
      expect(faults(await program.run(adamFeeds())())).toHaveLength(1)
    })
  }
for (const name of ['reference', ...everyName] as const) await suiteOn(name, `the contract, on ${name}`, contract(name))

test('an engine is told once to let go of each thing it made, whoever ends it', async () => {
  const gone: string[] = []
  const engine: Executor = {
    name: 'toy',
    compile: () =>
      TE.right({
        run: TE.right,
        start: () => TE.right({ step: TE.right, read: TE.right({}), dispose: () => gone.push('stepper') }),
        dispose: () => gone.push('program'),
      }),
  }
  const program = right(await contracted(engine).compile(adam(), { mode: 'training' })())
  const { start } = adamStart()
  const stepper = right(await program.start(carry, start)())
  right(await program.start(carry, start)())
  stepper.dispose()
  stepper.dispose()
  expect(gone).toEqual(['stepper'])
  program.dispose()
  program.dispose()
  stepper.dispose()
  expect(gone).toEqual(['stepper', 'stepper', 'program'])
  const late = right(await contracted(engine).compile(adam(), { mode: 'training' })())
  const starting = late.start(carry, start)()
  late.dispose()
  expect(faults(await starting)).toMatchObject([{ tag: 'run', at: 'toy' }])
  expect(gone.slice(3)).toEqual(['stepper', 'program'])
})
