/** Longer than 400 lines: addons of paper that most of it calls stand beside what the built one is asked. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { type Executor, floats, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { type Addon, dataTypes } from '../../src/execute/tensorflow/addon.ts'
import { tensorflowIn } from '../../src/execute/tensorflow/build.ts'
import { tensorflowDevice } from '../../src/execute/tensorflow/device.ts'
import { computesIn, widening } from '../../src/execute/tensorflow/half.ts'
import { lean } from '../../src/execute/tensorflow/lean.ts'
import { environment } from '../../src/execute/tensorflow/load.ts'
import { opOf } from '../../src/execute/tensorflow/ops.ts'
import { readyOf } from '../../src/execute/tensorflow/ready.ts'
import { binary, unary } from '../../src/execute/tfjs/arithmetic.ts'
import { programOf } from '../../src/execute/tfjs/compile.ts'
import { described } from '../../src/execute/tfjs/describe.ts'
import { disposeAll, downloadAll, uploadAll } from '../../src/execute/tfjs/device.ts'
import { executorOn } from '../../src/execute/tfjs/executor.ts'
import { load } from '../../src/execute/tfjs/installed.ts'
import { prepare } from '../../src/execute/tfjs/machine.ts'
import { keeping } from '../../src/execute/tfjs/packing.ts'
import { schedule } from '../../src/execute/tfjs/program.ts'
import { none, rewrite } from '../../src/execute/tfjs/quirks.ts'
import { ended, lowerTogether } from '../../src/execute/tfjs/tail.ts'
import { cast, leaf, type Rewriting, type Roots, reshape, sum } from '../../src/execute/tfjs/value.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { float, type Shape, size } from '../../src/graph/types.ts'
import { pipe, TE } from '../../src/prelude.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { adam, adamFeeds, difference, graphOf, right } from './onnx-support.ts'

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-tensorflow-'))
afterAll(() => rmSync(folder, { recursive: true }))
const put = (...path: readonly string[]): void => {
  const file = join(folder, ...path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, '')
}

describe('TensorFlow is found', () => {
  const own = ['include', 'tensorflow', 'c', 'eager', 'c_api.h']
  const whole = (...at: readonly string[]): void => {
    put(...at, ...own)
    put(...at, 'libtensorflow_cc.so.2')
    put(...at, 'libtensorflow_framework.so.2')
  }
  test('in a virtual environment, a folder of packages, and as itself', async () => {
    whole('venv', 'lib', 'python3.12', 'site-packages', 'tensorflow')
    whole('packages', 'tensorflow')
    const at = (...path: readonly string[]): string => join(folder, ...path)
    const environmentOf = at('venv', 'lib', 'python3.12', 'site-packages', 'tensorflow')
    expect(right(await tensorflowIn(at('venv'))())).toBe(environmentOf)
    expect(right(await tensorflowIn(at('packages'))())).toBe(at('packages', 'tensorflow'))
    expect(right(await tensorflowIn(at('packages', 'tensorflow'))())).toBe(at('packages', 'tensorflow'))
  })
  test('or what is missing is named', async () => {
    put('bare', 'tensorflow', ...own)
    expect(await tensorflowIn(join(folder, 'bare'))()).toMatchObject({
      left: [{ tag: 'file', expected: expect.stringContaining('libtensorflow_cc.so.2'), got: 'no such file' }],
    })
    expect(await tensorflowIn('no-such-folder')()).toMatchObject({
      left: [{ at: 'no-such-folder', hint: expect.stringContaining('tensorflow-cpu') }],
    })
  })
})

/** An addon that writes down what it is asked for. */
const noting = (gpu = false) => {
  const calls: unknown[] = []
  let next = 0
  const addon: Addon = {
    createTensor: () => next++,
    deleteTensor: (id) => calls.push(['delete', id]),
    tensorDataSync: () => new Float32Array(1),
    executeOp: (op, attributes, inputs) => {
      calls.push([op, attributes.map(({ name, value }) => [name, value]), inputs])
      return [{ id: next++ }]
    },
    getNumOfTensors: () => next,
    isUsingGpuDevice: () => gpu,
    TF_Version: '2.21.0',
  }
  return { addon, calls }
}
describe('a backend', () => {
  test('is on the device that TensorFlow takes, whatever its name', () => {
    expect(readyOf('node', noting().addon)).toMatchObject({ right: { description: 'the CPU', gpu: false } })
    expect(readyOf('node', noting(true).addon)).toMatchObject({
      right: { description: 'a GPU through CUDA', gpu: true },
    })
    expect(readyOf('node-gpu', noting(true).addon)).toMatchObject({ right: { gpu: true } })
    expect(readyOf('node-gpu', noting().addon)).toMatchObject({
      left: [{ at: 'tfjs:node-gpu', got: 'TensorFlow runs, but sees no GPU' }],
    })
  })
  test('lets go of an array when its last handle goes, once', () => {
    const { addon, calls } = noting()
    const { device } = right(readyOf('node', addon))
    const x = device.upload(floats([1], Float32Array.of(1)))
    const other = device.clone(x)
    x.dispose()
    x.dispose()
    expect(calls).toEqual([])
    other.dispose()
    expect(calls).toEqual([['delete', 0]])
  })
  test('names the op that fails', () => {
    const { addon } = noting()
    const failing = {
      ...addon,
      executeOp: () => {
        throw new Error('out of memory')
      },
    }
    const { device } = right(readyOf('node', failing))
    const type = float(1)
    const neg = device.kernel({ kernel: 'Neg', attributes: {}, inputs: [0], output: 1, type, ends: [] })
    expect(() => neg([device.upload(floats([1], Float32Array.of(1)))])).toThrow('Neg: out of memory')
  })
})
test('a gradient of a convolution reads its shape, filter and result in the order that TensorFlow wants', () => {
  const { name, attributes, reads } = opOf({
    kernel: 'Conv2DBackpropInput',
    attributes: {
      strides: [2, 1],
      pad: [
        [0, 0],
        [1, 2],
        [0, 1],
        [0, 0],
      ],
      inputShape: [1, 4, 4, 3],
    },
    inputs: [5, 6],
    type: float(1, 4, 4, 3),
  })
  expect(name).toBe('Conv2DBackpropInput')
  expect(reads).toMatchObject([{ data: Int32Array.of(1, 4, 4, 3) }, 1, 0])
  expect(Object.fromEntries(attributes.map(({ name: of, value }) => [of, value]))).toEqual({
    strides: [1, 2, 1, 1],
    padding: 'EXPLICIT',
    explicit_paddings: [0, 0, 1, 2, 0, 1, 0, 0],
  })
  expect(dataTypes).toEqual({ float32: 1, int32: 3, bool: 10, bfloat16: 14, float16: 19 })
})
test('threads are those that are asked for', () => {
  expect(environment(3)).toMatchObject({ TF_NUM_INTRAOP_THREADS: '3', NVIDIA_TF32_OVERRIDE: '0' })
})

test('arithmetic of many parameters is done at once, and gives the same bits', async () => {
  const shapes: readonly Shape[] = [[3], [2, 3], [4, 1, 2, 2], [5]]
  const rate = D.input('rate', float())
  const outputs = shapes.flatMap((shape, i) => {
    const p = D.input(`p${i}`, float(...shape))
    const change = pipe(D.input(`g${i}`, float(...shape)), D.exp, D.mul(rate))
    return [[`p${i}`, pipe(p, D.sub(change))] as const, [`m${i}`, pipe(change, D.mul(0.5), D.add(p))] as const]
  })
  const alike = pipe(D.constant([30], float(4)), D.mul(pipe(rate, D.exp)))
  const g = graphOf(Object.fromEntries([...outputs, ['alike', alike], ['number', pipe(rate, D.exp, D.mul(2))]]))
  const types = feedTypes(g)
  const feeds = Object.fromEntries(
    Object.entries(types).map(([name, { shape }], i) => [
      name,
      floats(
        shape,
        Float32Array.from({ length: size(shape) }, (_, j) => Math.sin(1 + i + j)),
      ),
    ]),
  )
  const { device, target } = right(await load('cpu')())
  const run = async (together: boolean) => {
    const program = schedule(ended(right(lowerTogether(g, { ...target, together }, []))).roots)
    const machine = prepare(device, program)
    const fed = uploadAll(device, feeds)
    const results = right(await downloadAll(device, () => machine.run(fed))())
    disposeAll(fed)
    return { results, subtractions: program.steps.filter(({ kernel }) => kernel === 'Sub').length }
  }
  const [apart, together] = [await run(false), await run(true)]
  expect([apart.subtractions, together.subtractions]).toEqual([4, 1])
  expect(together.results).toEqual(apart.results)
})
describe.each([false, true])('state of a step that goes on, guarded: %s', (isGuarded) => {
  const window = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
  const shapes: Readonly<Record<string, Shape>> = { first: [4, 3, 3, 3], bias: [4], last: [2, 4, 3, 3], table: [3, 2] }
  const weights = Object.fromEntries(Object.entries(shapes).map(([name, of]) => [name, D.input(name, float(...of))]))
  const { first = D.scalar(0), bias = first, last = first, table = first } = weights
  const x = D.input('x', float(2, 3, 5, 5))
  const hidden = pipe(x, D.conv2d(first, window), D.add(pipe(bias, D.reshape(4, 1, 1))), D.tanh)
  const y = pipe(hidden, D.conv2d(last, window), D.reshape(2, 2, 25))
  const loss = pipe(D.squaredNorm(pipe(table, D.matmul(y))), D.mul(0.01))
  const rate = D.input('rate', float())
  const names = Object.keys(shapes)
  /** As a step in float16 leaves state as it is whose gradients are not finite. */
  const holds = pipe(loss, D.less(D.input('limit', float())))
  const guarded = (next: D.Tensor, now: D.Tensor): D.Tensor => (isGuarded ? pipe(holds, D.select(next, now)) : next)
  const updated = grad(loss, Object.values(weights)).map((g, i) => {
    const name = names[i] ?? ''
    const [before, moment] = [weights[name] ?? g, D.input(`m/${name}`, g.type)]
    const m = pipe(moment, D.mul(0.9), D.add(g))
    const w = pipe(before, D.sub(pipe(m, D.mul(rate))))
    return [name, { m: guarded(m, moment), w: guarded(w, before) }] as const
  })
  const graph = optimise(
    graphOf({
      loss,
      holds,
      ...Object.fromEntries(
        updated.flatMap(([name, { m, w }]) => [[`w/${name}`, w] as const, [`m/${name}`, m] as const]),
      ),
    }),
  )
  const carry = Object.fromEntries(
    names.flatMap((name) => [[`w/${name}`, name] as const, [`m/${name}`, `m/${name}`] as const]),
  )
  const numbers = (shape: Shape, shift: number) =>
    floats(
      shape,
      Float32Array.from({ length: size(shape) }, (_, i) => 0.3 * Math.sin(1.7 * i + shift)),
    )
  const initial = Object.fromEntries(
    Object.values(carry).map((leafName, i) => [leafName, numbers(feedTypes(graph)[leafName]?.shape ?? [], i)]),
  )
  const stepped = async (executor: Executor, steps: number) => {
    const program = right(await executor.compile(graph, { mode: 'training' })())
    const stepper = right(await program.start(carry, initial)())
    for (let i = 0; i < steps; i++) {
      const [rateNow, limit] = [0.1, i === 1 ? 0 : 1e9].map((x) => floats([], Float32Array.of(x)))
      if (rateNow === undefined || limit === undefined) throw new Error('no numbers')
      right(await stepper.step({ x: numbers([2, 3, 5, 5], i), rate: rateNow, limit })())
    }
    const state = right(await stepper.read())
    program.dispose()
    return state
  }
  test('is what it was, and becomes what it does on the reference', async () => {
    const ready = right(await load('cpu')())
    const executor = executorOn('together', TE.right({ ...ready, target: { ...ready.target, together: true, lean } }))
    expect(await stepped(executor, 0)).toEqual(initial)
    const [found, expected] = [await stepped(executor, 3), await stepped(reference, 3)]
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort())
    for (const [name, value] of Object.entries(expected)) expect(difference(found[name], value)).toBeLessThan(1e-5)
  })
  test('lies end to end as it is worked on: neither transposed nor laid together', async () => {
    const { target } = right(await load('cpu')())
    const ready = { ...target, together: true, sums: none, lean }
    const lowered = right(lowerTogether(graph, ready, []))
    const kernels = (of: typeof carry): readonly string[] =>
      programOf(ended(lowered, of).roots, ready, {}).steps.map(({ kernel }) => kernel)
    const count = (of: typeof carry, kernel: string): number => kernels(of).filter((k) => k === kernel).length
    expect(ended(lowered, carry).joined.map(({ parts }) => parts.map((part) => part.leaf))).toEqual([
      names.map((name) => `m/${name}`),
      names,
    ])
    expect([count({}, 'Transpose'), count(carry, 'Transpose')]).toEqual([6, 2])
    expect([count({}, 'Concat'), count(carry, 'Concat')]).toEqual([3, 1])
    expect([count({}, 'Select'), count(carry, 'Select')]).toEqual(isGuarded ? [8, 2] : [0, 0])
    expect(kernels(carry).length).toBeLessThan(0.8 * kernels({}).length)
  })
})
describe('half precision', () => {
  const dtype = 'bfloat16'
  const [x, w] = [leaf('x', { dtype, shape: [2, 4] }), leaf('w', float(2, 4))]
  const y = unary('Tanh', binary('Add', x, cast(w, dtype)))
  const named = (roots: Roots, halves: Rewriting) => {
    const program = schedule(rewrite(halves)(roots))
    return Object.keys(described(program, { x: x.type, w: w.type }).ops)
  }
  test('that TensorFlow has not is computed in float32, between casts', () => {
    expect(
      named(
        { y },
        widening(() => true),
      ),
    ).toEqual(['Cast from float32 to bfloat16', 'Add in bfloat16', 'Tanh in bfloat16'])
    expect(
      named(
        { y },
        widening((kernel) => kernel !== 'Tanh'),
      ),
    ).toEqual([
      'Cast from float32 to bfloat16',
      'Add in bfloat16',
      'Cast from bfloat16 to float32',
      'Tanh in float32, between casts from and to bfloat16',
    ])
  })
  test('is asked for once, and what fails is not believed', () => {
    const { addon, calls } = noting()
    const device = tensorflowDevice({ ...addon, tensorDataSync: () => new Float32Array(10_000) }, 'toy')
    const computes = computesIn(device, { gpu: true })
    expect([computes('Neg', dtype), computes('Softmax', dtype)]).toEqual([true, false])
    const asked = calls.length
    expect(asked).toBeGreaterThan(0)
    expect(computes('Neg', dtype)).toBe(true)
    expect(calls).toHaveLength(asked)
    const onCpu = computesIn(device, { gpu: false })
    expect([onCpu('Conv2D', dtype), onCpu('BatchMatMul', dtype)]).toEqual([false, false])
    expect(calls).toHaveLength(asked)
    expect(onCpu('Neg', dtype)).toBe(true)
    const failing = (op: string, ...rest: readonly [Parameters<Addon['executeOp']>[1], readonly number[], number]) => {
      if (op === 'Tanh') throw new Error('No OpKernel was registered to support Op Tanh')
      return addon.executeOp(op, ...rest)
    }
    expect(computesIn(tensorflowDevice({ ...addon, executeOp: failing }, 'toy'), { gpu: true })('Tanh', dtype)).toBe(
      false,
    )
  })
  test('is how weights lie on the device that nothing reads otherwise', () => {
    const kept = (roots: Roots) => keeping(roots, { w: w.type }).types.w?.dtype
    expect(kept({ y })).toBe('bfloat16')
    expect(kept({ y, w })).toBe('float32')
    expect(kept({ y, z: cast(w, 'float16') })).toBe('float32')
    expect(kept({ y, z: unary('Neg', reshape(w, [8])) })).toBe('float32')
    const moved = keeping({ y: cast(reshape(w, [8]), dtype) }, { w: w.type })
    expect(moved.types.w?.dtype).toBe('bfloat16')
    expect(moved.roots.y).toMatchObject({
      kernel: 'Reshape',
      inputs: [{ name: 'w', type: { dtype } }],
      type: { dtype },
    })
  })
  test('widened and made half again is what it was', () => {
    expect(cast(cast(x, 'float32'), dtype)).toBe(x)
    expect(cast(cast(w, dtype), 'float32')).not.toBe(w)
  })
})
test('memory is that of arrays while they are read; a reshape has none', () => {
  const x = leaf('x', float(4, 4))
  const twice = binary('Add', reshape(x, [16]), reshape(x, [16]))
  const y = sum(reshape(twice, [4, 4]), [0, 1])
  expect(described(schedule({ y }), { x: x.type }).memory).toEqual({
    ...{ arguments: 64, outputs: 4, temporary: 64 },
    ...{ alias: 0, code: 0 },
  })
})
test('reshapes that another call can do without are left out', () => {
  const kernelsOf = (roots: Roots): readonly string[] => schedule(lean(roots)).steps.map(({ kernel }) => kernel)
  const [x, bias] = [leaf('x', float(2, 4, 4, 3)), leaf('bias', float(3))]
  expect(kernelsOf({ y: binary('Add', x, reshape(bias, [1, 1, 1, 3])) })).toEqual(['Add'])
  expect(kernelsOf({ y: binary('Add', bias, reshape(bias, [1, 3])) })).toEqual(['Reshape', 'Add'])
  const summed = sum(x, [0, 1, 2])
  expect(kernelsOf({ y: reshape(summed, [3]) })).toEqual(['Sum'])
  expect(kernelsOf({ y: reshape(summed, [3]), z: summed })).toEqual(['Sum', 'Reshape'])
  expect(kernelsOf({ y: reshape(reshape(x, [8, 12]), [24, 4]) })).toEqual(['Reshape'])
})

await suiteOn('tfjs:node', 'on tfjs:node', (executor) => {
  const counting = (x: Shape): Float32Array => Float32Array.from({ length: size(x) }, (_, i) => i + 1)
  const convolved = async (
    x: Shape,
    kernel: Shape,
    options: Parameters<typeof D.conv2d>[1],
  ): Promise<readonly Values[]> => {
    const g = graphOf({ y: pipe(D.input('x', float(...x)), D.conv2d(D.input('w', float(...kernel)), options)) })
    const feeds = {
      x: floats(x, counting(x)),
      w: floats(kernel, new Float32Array(size(kernel)).fill(1)),
    }
    return Promise.all(
      [executor, reference].map(async (e) =>
        right(await right(await e.compile(g, { mode: 'sampling' })()).run(feeds)()),
      ),
    )
  }
  test('a convolution of one channel into one column is right', async () => {
    const [ours] = await convolved([2, 1, 2, 3], [1, 1, 1, 2], { stride: [1, 2], padding: [0, 0, 0, 0] })
    expect(ours?.y?.data).toEqual(Float32Array.of(3, 9, 15, 21))
    for (const padding of [
      [1, 0, 1, 0],
      [1, 0, 1, 1],
    ] as const) {
      const [y, expected] = await convolved([3, 1, 4, 2], [2, 1, 3, 2], { stride: [1, 3], padding })
      expect(difference(y?.y, expected?.y)).toBeLessThan(1e-6)
    }
  })
  test('2,000 steps leave as many arrays as one, and dispose none', async () => {
    const addon = right(await load('node')()).device.backend()
    const arrays = (): unknown => Reflect.apply(Reflect.get(addon, 'getNumOfTensors'), addon, [])
    const cycle = async (steps: number): Promise<readonly unknown[]> => {
      const program = right(await executor.compile(adam(), { mode: 'training' })())
      const { x, t, ...start } = adamFeeds()
      if (x === undefined || t === undefined) throw new Error('no x or t')
      const stepper = right(await program.start({ w: 'net.weight', m: 'm/net.weight', v: 'v/net.weight' }, start)())
      const seen = new Set<unknown>()
      for (let i = 0; i < steps; i++) {
        right(await stepper.step({ x, t })())
        seen.add(arrays())
      }
      program.dispose()
      return [...seen]
    }
    await cycle(1)
    const before = arrays()
    expect(await cycle(2000)).toHaveLength(1)
    expect(arrays()).toBe(before)
  })
  test('arrays in half precision are let go of like others, and what computes in it is told', async () => {
    const addon = right(await load('node')()).device.backend()
    const arrays = (): unknown => Reflect.apply(Reflect.get(addon, 'getNumOfTensors'), addon, [])
    const x = pipe(
      D.input('x', { dtype: 'float16', shape: [2, 3] }),
      D.mul(pipe(D.input('w', float(3)), D.cast('float16'))),
    )
    const g = graphOf({ y: x, z: pipe(x, D.sigmoid, D.cast('float32')) })
    const cycle = async (): Promise<Values> => {
      const program = right(
        await executor.compile(g, { mode: 'sampling', constants: { w: floats([3], Float32Array.of(1, 2, 0.1)) } })(),
      )
      const made = right(
        await program.run({ x: { dtype: 'float16', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) } })(),
      )
      program.dispose()
      return made
    }
    const { y } = await cycle()
    expect(y).toEqual({
      dtype: 'float16',
      shape: [2, 3],
      data: Float32Array.of(1, 4, 0.2998046875, 4, 10, 0.599609375),
    })
    const before = arrays()
    await cycle()
    expect(arrays()).toBe(before)
    const { ops } = right(await (executor.describe?.(g, { mode: 'sampling', baked: ['w'] }) ?? expect.unreachable())())
    expect(ops).toMatchObject({ 'Multiply in float16': 1 })
    expect(Object.keys(ops)).not.toContain('Multiply')
  })
})
