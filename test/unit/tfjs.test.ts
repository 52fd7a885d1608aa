import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { type Executor, floats, type Value } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { faultsOf, findAdapter } from '../../src/execute/tfjs/adapter.ts'
import { open, type Source } from '../../src/execute/tfjs/backends.ts'
import { disposeAll, downloadAll, uploadAll } from '../../src/execute/tfjs/device.ts'
import { look, lookForGpu, tfjs } from '../../src/execute/tfjs/index.ts'
import { load } from '../../src/execute/tfjs/installed.ts'
import { lower } from '../../src/execute/tfjs/lower.ts'
import { prepare } from '../../src/execute/tfjs/machine.ts'
import { schedule } from '../../src/execute/tfjs/program.ts'
import { none } from '../../src/execute/tfjs/quirks.ts'
import { sumInPlace } from '../../src/execute/tfjs/sums.ts'
import type { Roots } from '../../src/execute/tfjs/value.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { float, size } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { grad } from '../../src/transform/index.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { adam, adamFeeds, graphOf, right } from './onnx-support.ts'

test('half precision is one error, however many nodes have it', async () => {
  const x = pipe(D.input('x', float(2)), D.cast('float16'), D.neg, D.abs)
  const failed = await tfjs('cpu').compile(graphOf({ y: pipe(x, D.cast('float32')) }), { mode: 'sampling' })()
  expect(failed).toMatchObject({
    left: [{ tag: 'compile', got: 'float16, here and at 2 more nodes', hint: expect.stringContaining('float32') }],
  })
})

const carry = { w: 'net.weight', m: 'm/net.weight', v: 'v/net.weight' }
const target = {
  name: 'tfjs:toy',
  has: () => true,
  preciseFunctions: true,
  quirk: none,
  sums: sumInPlace,
  paddings: 'words',
  dtypes: ['float32', 'int32', 'bool'],
  halves: none,
  together: false,
  lean: (roots: Roots) => roots,
  integers: 2 ** 24,
} as const

/** Tensors, the bytes they take, and those that WebGPU has allotted them. */
const held = () => {
  const { numTensors, numBytes } = tf.memory()
  const gpu: unknown = Reflect.get(tf.memory(), 'numBytesInGPU')
  return { numTensors, numBytes, gpu }
}
type Counted = 'cpu' | 'wasm' | 'webgpu'
/** A software GPU takes a minute or more for ten thousand steps. */
const counted = { cpu: 10_000, wasm: 10_000, webgpu: 500 } as const
const books = (backend: Counted, steps: number): void => {
  test(`${steps} steps leave as many tensors as one, and dispose none`, async () => {
    right(await load(backend)())
    right(await load(backend)()).device.choose()
    const before = held()
    const program = right(await tfjs(backend).compile(adam(), { mode: 'training' })())
    const { x, t, ...start } = adamFeeds()
    if (x === undefined || t === undefined) throw new Error('no x or t')
    const stepper = right(await program.start(carry, start)())
    right(await stepper.step({ x, t })())
    const { numTensors, numBytes } = held()
    const seen = new Set<string>()
    const gpu = new Set<unknown>()
    for (let i = 0; i < steps; i++) {
      right(await stepper.step({ x, t })())
      seen.add(JSON.stringify([held().numTensors, held().numBytes]))
      gpu.add(held().gpu)
    }
    right(await stepper.read())
    expect([...seen]).toEqual([JSON.stringify([numTensors, numBytes])])
    expect(gpu.size).toBe(1)
    stepper.dispose()
    program.dispose()
    expect(held()).toEqual(before)
  })
  test('a run leaves no tensor behind, nor does one that fails', async () => {
    const g = graphOf({
      y: pipe(D.input('table', float(3, 2)), D.gather(D.input('i', { dtype: 'int32', shape: [2] }))),
    })
    const program = right(await tfjs(backend).compile(g, { mode: 'sampling' })())
    const table = floats([3, 2], Float32Array.of(1, 2, 3, 4, 5, 6))
    const at = (...rows: readonly number[]) => ({
      table,
      i: { dtype: 'int32', shape: [2], data: Int32Array.from(rows) } as const,
    })
    right(await program.run(at(0, 2))())
    const { numTensors } = tf.memory()
    right(await program.run(at(0, 2))())
    const failed = await program.run(at(0, 7))()
    if (backend === 'wasm') expect(failed).toMatchObject({ left: [{ tag: 'run', at: 'tfjs:wasm' }] })
    expect(tf.memory().numTensors).toBe(numTensors)
    program.dispose()
  })
}

const choices = (backend: Counted): void =>
  test('a choice between two numbers is exactly one of them', async () => {
    const g = graphOf({ y: pipe(D.input('x', float(2, 3)), D.less(0), D.select(D.scalar(0.2), D.scalar(-7))) })
    const program = right(await tfjs(backend).compile(g, { mode: 'training' })())
    const feeds = { x: floats([2, 3], Float32Array.of(-1, 2, 0, -3, -0.5, 4)) }
    const expected = floats([2, 3], Float32Array.of(0.2, -7, -7, 0.2, 0.2, -7))
    expect(right(await program.run(feeds)())).toEqual({ y: expected })
    program.dispose()
  })

const integers = (backend: Counted): void => {
  const big = 2 ** 24 + 1
  const ints = (...data: readonly number[]): Value => ({
    dtype: 'int32',
    shape: [data.length],
    data: Int32Array.from(data),
  })
  const type = { dtype: 'int32', shape: [5] } as const
  const g = graphOf({ y: pipe(D.input('x', type), D.scatterAdd(D.input('i', type), 2)) })
  const compiled = async () => right(await tfjs(backend).compile(g, { mode: 'sampling' })())
  const feeds = { x: ints(big, 2 ** 30, 1 - 2 ** 30, -big, big + 1), i: ints(0, 1, 1, 1, 0) }

  if (backend !== 'webgpu')
    test('add up to the last bit', async () => {
      const program = await compiled()
      expect(right(await program.run(feeds)())).toEqual({ y: ints(2 * big + 1, 1 - big) })
      program.dispose()
    })
  else
    test('are errors by name', async () => {
      const error = { expected: 'integers of up to 16777216, as far as tfjs:webgpu has them', got: String(big) }
      const program = await compiled()
      expect(await program.run(feeds)()).toEqual({ left: [{ tag: 'run', at: 'x', ...error }], _tag: 'Left' })
      expect(right(await program.run({ ...feeds, x: ints(big - 1, 1, 2, 3, -1) })())).toEqual({ y: ints(big - 2, 6) })
      program.dispose()
      const options = { mode: 'sampling', constants: { x: feeds.x } } as const
      expect(await tfjs(backend).compile(g, options)()).toMatchObject({
        left: [{ tag: 'compile', at: 'x', ...error }],
      })
      const constant = graphOf({ y: D.integers([1, big]) })
      expect(await tfjs(backend).compile(constant, { mode: 'sampling' })()).toMatchObject({
        left: [{ tag: 'compile', ...error }],
      })
    })
}
for (const backend of ['cpu', 'wasm', 'webgpu'] as const)
  await suiteOn(`tfjs:${backend}`, `tfjs:${backend}`, () => {
    books(backend, counted[backend])
    choices(backend)
    describe('integers beyond 2^24', () => integers(backend))
  })

describe.each(['cpu', 'wasm'] as const)('long sums on tfjs:%s', (backend) => {
  /** A scalar's gradient sums a picture: the shape of the loss, and the parameter's. */
  const gradient = (shape: readonly number[], ofShape: readonly number[]) => {
    const x = D.input('x', float(...shape))
    const scale = D.input('scale', float(...ofShape))
    return graphOf(Object.fromEntries(grad(pipe(x, D.mul(scale), D.square, D.sum()), [scale]).map((g) => ['y', g])))
  }
  test.each([
    [
      [2, 3, 128, 128],
      [1, 3, 1, 1],
    ],
    [[1, 3, 256, 256], []],
    [
      [20011, 2],
      [1, 2],
    ],
    [[3, 10007], []],
    [
      [130, 67, 5],
      [1, 67, 1],
    ],
  ])('of %j to %j keep their digits', async (shape, ofShape) => {
    const data = Float32Array.from({ length: size(shape) }, (_, i) => 0.1 + ((i * 2654435761) % 1000) / 1000)
    const feeds = { x: floats(shape, data), scale: floats(ofShape, new Float32Array(size(ofShape)).fill(1)) }
    const g = gradient(shape, ofShape)
    const own = Object.fromEntries(Object.entries(feeds).filter(([name]) => name in feedTypes(g)))
    const of = async (executor: Executor) =>
      right(await right(await executor.compile(g, { mode: 'training' })()).run(own)())
    const [ours, exact] = [await of(tfjs(backend)), await of(reference)]
    expect(ours.y?.shape).toEqual(ofShape)
    const errors = Array.from(ours.y?.data ?? [], (v, i) => Math.abs(v / (exact.y?.data[i] ?? Number.NaN) - 1))
    expect(Math.max(...errors)).toBeLessThan(4e-7)
  })
})

describe('the program', () => {
  test('ends every intermediate once, at its last reader', () => {
    const { steps, outputs } = schedule(right(lower(adam(), target)))
    const made = new Set(steps.map((s) => s.output))
    const ended = steps.flatMap((s) => s.ends)
    expect(new Set(ended).size).toBe(ended.length)
    expect(new Set([...ended, ...Object.values(outputs)])).toEqual(made)
    steps.forEach((s, i) => {
      for (const end of s.ends) expect(steps.slice(i + 1).some((later) => later.inputs.includes(end))).toBe(false)
    })
  })
  test('is the same for the same graph', () => {
    expect(schedule(right(lower(adam(), target)))).toEqual(schedule(right(lower(adam(), target))))
  })
  test('a kernel that the backend lacks is an error that names op, node and backend', () => {
    const x = D.input('x', float(2, 4, 8, 8))
    const weight = D.parameter('net.conv', 'weight', [4, 4, 3, 3], { kind: 'zeros' })
    const g = graphOf({ y: pipe(x, D.conv2d(weight, { stride: [1, 1], padding: [1, 1, 1, 1] }), D.erf) })
    const poor = { ...target, has: (kernel: string) => kernel !== 'Erf' && kernel !== 'Transpose' }
    expect(lower(g, poor)).toMatchObject({
      left: [
        {
          tag: 'compile',
          at: expect.stringMatching(/conv2d, node \d/),
          expected: 'Transpose of tfjs:toy, for the op conv2d',
        },
        { tag: 'compile', at: expect.stringMatching(/erf, node \d/), expected: 'Erf of tfjs:toy, for the op erf' },
      ],
    })
  })
})

describe('functions of arithmetic alone', () => {
  const every = (from: number, to: number, count: number): Float32Array =>
    Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1))
  const cases = [
    ['sin', D.sin, Math.sin, every(-2000, 2000, 4001), 2e-7],
    ['cos', D.cos, Math.cos, every(-2000, 2000, 4001), 2e-7],
    ['exp', D.exp, Math.exp, every(-87, 88.7, 4001), 3e-7],
  ] as const
  const run = async (of: (x: Tensor) => Tensor, data: Float32Array): Promise<Value['data']> => {
    const { device, target: cpu } = right(await load('cpu')())
    const roots = right(
      lower(graphOf({ y: of(D.input('x', float(data.length))) }), { ...cpu, preciseFunctions: false }),
    )
    const machine = prepare(device, schedule(roots))
    const fed = uploadAll(device, { x: floats([data.length], data) })
    const { y } = right(await downloadAll(device, () => machine.run(fed))())
    disposeAll(fed)
    machine.dispose()
    return y?.data ?? new Float32Array()
  }
  test.each(cases)('%s is good to the last places', async (name, of, exact, x, tolerance) => {
    const y = await run(of, x)
    const errors = Array.from(x, (v, i) => Math.abs((y[i] ?? Number.NaN) - exact(v)) / (name === 'exp' ? exact(v) : 1))
    expect(Math.max(...errors)).toBeLessThan(tolerance)
  })
  test('the exponential ends in 0 and infinity, and leaves what is no number', async () => {
    const x = Float32Array.of(-Infinity, -110, 0, 89, Infinity, Number.NaN)
    expect(await run(D.exp, x)).toEqual(Float32Array.of(0, 0, 1, Infinity, Infinity, Number.NaN))
  })
})

/** Packages by name; what is not there is absent as Node says it. */
const source = (packages: Readonly<Record<string, unknown>>, core: object = {}): Source => ({
  core: async () => Object.assign(Object.create(tf), core),
  load: async (name) => {
    if (name in packages) return packages[name]
    throw Object.assign(new Error(`Cannot find package '${name}'`), { code: 'ERR_MODULE_NOT_FOUND' })
  },
})
const native = (backend: object) => ({ setBackend: async () => true, enableProdMode: () => {}, backend: () => backend })

describe('backends', () => {
  test('what is absent says what to install', async () => {
    expect(await open('wasm', source({}))()).toMatchObject({
      left: [
        {
          tag: 'compile',
          at: 'tfjs:wasm',
          got: '@tensorflow/tfjs-backend-wasm is not installed',
          hint: 'npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm',
        },
      ],
    })
  })
  test('a package that breaks says how', async () => {
    const broken = {
      ...source({}),
      load: async () => {
        throw new Error('a file that is cut short')
      },
    }
    expect(await open('wasm', broken)()).toMatchObject({ left: [{ at: 'tfjs:wasm', got: 'a file that is cut short' }] })
  })
})

describe('WebGPU adapters', () => {
  const dawn = (adapter: object | null) => async (name: string) =>
    name === 'webgpu' ? { create: () => ({ requestAdapter: async () => adapter }), globals: {} } : {}
  const own = Object.getOwnPropertyDescriptor(globalThis, 'navigator')
  const alone = async <A>(body: () => Promise<A>): Promise<A> => {
    Object.defineProperty(globalThis, 'navigator', { value: undefined, configurable: true, writable: true })
    try {
      return await body()
    } finally {
      if (own === undefined) Reflect.deleteProperty(globalThis, 'navigator')
      else Object.defineProperty(globalThis, 'navigator', own)
    }
  }
  test('none is told apart from software and hardware', async () => {
    expect(await alone(() => findAdapter(dawn(null)))).toBeUndefined()
    const swift = { info: { vendor: 'google', architecture: 'swiftshader', description: '' } }
    expect(await alone(() => findAdapter(dawn(swift)))).toEqual({ description: 'google, swiftshader', hardware: false })
    const nvidia = { info: { vendor: 'nvidia', architecture: 'ampere', description: 'A100' } }
    expect(await alone(() => findAdapter(dawn(nvidia)))).toEqual({
      description: 'nvidia, ampere, A100',
      hardware: true,
    })
  })
  test('no adapter is an error that says what is missing', async () => {
    const none = { ...source({}), load: dawn(null) }
    expect(await alone(() => open('webgpu', none)())).toMatchObject({
      left: [{ tag: 'compile', at: 'tfjs:webgpu', got: 'no WebGPU adapter' }],
    })
  })
  test('small tiles make the products of a software GPU, and of no other', async () => {
    const taken = async (adapter: object): Promise<readonly unknown[]> => {
      const set: unknown[] = []
      const env = () => ({ set: (...flag: readonly unknown[]) => set.push(...flag) })
      const packages = { ...source({}, { ...native({}), env }), load: dawn(adapter) }
      right(await alone(() => open('webgpu', packages)()))
      return set
    }
    expect(await taken({ info: { description: 'SwiftShader Device (Subzero)' } })).toEqual([
      'WEBGPU_MATMUL_PROGRAM_TYPE',
      2,
    ])
    expect(await taken({ info: { description: 'NVIDIA H200' } })).toEqual([])
  })
  test('what a device complains of is told once', () => {
    const device = new EventTarget()
    const fault = faultsOf({ device })
    expect(fault()).toBeUndefined()
    device.dispatchEvent(Object.assign(new Event('uncapturederror'), { error: { message: 'a bad shader' } }))
    expect([fault(), fault()]).toEqual(['a bad shader', undefined])
  })
})
test('a backend that is no GPU is none for who looks for one', async () => {
  expect(await look('cpu')()).toEqual({ usable: true, what: 'TensorFlow.js on the CPU', gpu: false })
  expect(await lookForGpu('cpu')()).toEqual({ usable: false, what: 'TensorFlow.js on the CPU, which is no GPU' })
})
test('an executor by a name that is not installed here fails where it compiles', async () => {
  const result = await tfjs('node-gpu').compile(adam(), { mode: 'training' })()
  expect(E.isLeft(result) && result.left[0].at).toBe('tfjs:node-gpu')
})
