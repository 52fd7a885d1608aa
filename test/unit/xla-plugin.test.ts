import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { fedAhead } from '../../src/execute/carry.ts'
import { floats } from '../../src/execute/executor.ts'
import { bytesOfDescribed } from '../../src/execute/explain.ts'
import { digestOf, keep, keyOf, recall } from '../../src/execute/xla/cache.ts'
import { compileText, unload } from '../../src/execute/xla/client.ts'
import { engineOf, loadProgram } from '../../src/execute/xla/engine.ts'
import { xla } from '../../src/execute/xla/index.ts'
import { askedIn, guarded } from '../../src/execute/xla/memory.ts'
import { compileOptions, functions, laidOut, readBack } from '../../src/execute/xla/pjrt.ts'
import { type AskedDevices, inVariable, isPlugin, platformOf } from '../../src/execute/xla/places.ts'
import { PluginError } from '../../src/execute/xla/plugin.ts'
import { programOf } from '../../src/execute/xla/program.ts'
import { float, type Shape } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { difference as allDifferences, right } from '../arbitrary/run.ts'
import { feed, graphOf } from './onnx-support.ts'

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-xla-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('arguments lie as pjrt_c_api.h has them', () => {
  const given = laidOut(functions.Client_BufferFromHostBuffer, { client: 1n, semantics: 2, device: 3n, type: -1 })
  expect(given.getBigUint64(0, true)).toBe(120n)
  expect([16, 72, 80, 32].map((at) => given.getBigInt64(at, true))).toEqual([1n, 2n, 3n, -1n])
  given.setBigUint64(104, 7n, true)
  given.setBigUint64(112, 8n, true)
  expect(readBack(functions.Client_BufferFromHostBuffer, given)).toEqual({ done: 7n, buffer: 8n })
})

test('compile options are those that XLA reads', () => {
  expect(Buffer.from(compileOptions({})).toString('hex')).toBe('1a0420012801')
  expect(Buffer.from(compileOptions({ ab: 1 })).toString('hex')).toBe('1a04200128013a080a02616212021801')
  expect(Buffer.from(compileOptions({ ab: true })).toString('hex')).toBe('1a04200128013a080a02616212021001')
  expect(Buffer.from(compileOptions({}, [0, 1, 2, 3])).toString('hex')).toBe(
    '1a232001280430014a18080110041a030a01001a030a01011a030a01021a030a0103980101',
  )
})

test('plugins are known by the names of their files, and by the variable that JAX reads', () => {
  for (const [name, platform] of [
    ['xla_cuda_plugin.so', 'cuda'],
    ['xla_rocm_plugin.so', 'rocm'],
    ['libpjrt_cpu.so', 'cpu'],
    ['pjrt_c_api_cpu_plugin.so', 'cpu'],
    ['xla_cpu_pjrt.so', 'cpu'],
    ['libtpu.so', 'tpu'],
    ['pjrt_plugin_metal_14.dylib', 'metal'],
  ] as const) {
    expect(isPlugin(name)).toBe(true)
    expect(platformOf(join('/cpu/cuda', name))).toBe(platform)
  }
  for (const name of ['libdnnl.so.3', 'xla_extension.so', 'xla_cuda_plugin.so.txt', 'plugin.py'])
    expect(isPlugin(name)).toBe(false)
  const by = 'PJRT_NAMES_AND_LIBRARY_PATHS'
  expect(inVariable('cuda:/x/a.so,CPU:/y/b:c.so,broken,:/z', 'linux')).toEqual([
    { platform: 'cuda', path: '/x/a.so', by },
    { platform: 'cpu', path: '/y/b:c.so', by },
  ])
  expect(inVariable('cuda;C:\\a.dll', 'win32')).toEqual([{ platform: 'cuda', path: 'C:\\a.dll', by }])
})

test('what is carried is given up for its output, what is written twice is computed once', () => {
  const w = D.input('w', float(2))
  const twice = (): D.Tensor => pipe(w, D.mul(2))
  const graph = graphOf({ a: pipe(twice(), D.add(twice())), next: pipe(w, D.neg) })
  const { text, arguments: given, outputs } = programOf(graph, { next: 'w' })
  expect([given, outputs]).toEqual([['w'], ['a', 'next']])
  expect(text).toContain('@main(%a0: tensor<2xf32> {tf.aliasing_output = 1 : i32}) -> (tensor<2xf32>, tensor<2xf32>)')
  expect(text.match(/stablehlo\.multiply/g)).toHaveLength(1)
  expect(programOf(graph, {}).text).not.toContain('aliasing')
})

test('no padding of a convolution is below 0: what it would cut off is sliced off, and where nothing is left there are zeros', () => {
  const [dy, weight] = [D.input('dy', float(1, 2, 2, 4)), D.input('weight', float(2, 1, 2, 2))]
  const wide = { stride: [1, 1], padding: [1, 2, 1, 0] } as const
  const [x, few] = [D.input('x', float(1, 1, 4, 5)), D.input('few', float(1, 1, 2, 2))]
  const unseen = { stride: [9, 9], padding: [5, 5, 0, 0] } as const
  const [one, single] = [D.input('one', float(1, 1, 1, 1)), D.input('single', float(1, 1, 1, 1))]
  const textOf = (y: D.Tensor): string => programOf(graphOf({ y }), {}).text
  const dx = textOf(pipe(dy, D.convInputGrad(weight, [1, 3], wide)))
  expect(dx).toMatch(/stablehlo\.slice %a0 \[0:1, 0:2, 0:2, 1:4\]/)
  expect(dx).toContain('pad = [[0, 0], [0, 1]]')
  const dw = textOf(pipe(few, D.convWeightGrad(x, [1, 1], { stride: [2, 3], padding: [0, 0, 0, 0] })))
  expect(dw).toContain('pad = [[0, 0], [0, 0]]')
  for (const y of [
    pipe(one, D.convInputGrad(D.input('k', float(1, 1, 2, 2)), [1, 1], unseen)),
    pipe(one, D.convWeightGrad(single, [2, 2], unseen)),
    pipe(x, D.conv2d(D.input('far', float(2, 1, 2, 2)), { stride: [3, 9], padding: [0, 2, 0, 0] })),
  ])
    expect(textOf(y)).not.toContain('convolution')
})

test('of places set apart that are fewer than a kernel’s the zeros are written, behind a barrier', () => {
  const weight = D.input('weight', float(1, 1, 2, 2))
  const dx = (dy: Shape, size: Shape, padding: D.Window['padding']): string => {
    const y = pipe(D.input('dy', float(...dy)), D.convInputGrad(weight, size, { stride: [1, 2], padding }))
    return programOf(graphOf({ y }), {}).text
  }
  const [spaced, waiting, convolved] = dx([1, 1, 1, 3], [1, 4], [1, 1, 0, 1]).split('\n').slice(-8)
  expect(spaced).toContain('low = [0, 0, 0, 0], high = [0, 0, 1, 0], interior = [0, 0, 0, 1]')
  expect(waiting).toContain('optimization_barrier')
  expect(convolved).toContain('pad = [[0, 0], [0, 0]], lhs_dilate = [1, 1]')
  expect(dx([1, 1, 2, 2], [3, 4], [0, 0, 0, 0])).not.toContain('barrier')
})

const withCacheOfItsOwn = async (body: () => Promise<void>): Promise<void> => {
  const before = process.env.XDG_CACHE_HOME
  process.env.XDG_CACHE_HOME = folder
  try {
    await body()
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME
    else process.env.XDG_CACHE_HOME = before
  }
}
test('a program is kept until its file is not what was written', () =>
  withCacheOfItsOwn(async () => {
    const key = keyOf('a', 'b')
    expect(keyOf('ab', '')).not.toBe(key)
    expect(await recall(key)).toBeUndefined()
    await keep(key, Uint8Array.of(1, 2, 3))
    expect([...((await recall(key)) ?? [])]).toEqual([1, 2, 3])
    const path = join(folder, 'latentgraph/xla', key)
    writeFileSync(path, readFileSync(path).subarray(0, -1))
    expect(await recall(key)).toBeUndefined()
  }))

test('too little memory is an error that says what was asked for and what there is', async () => {
  const gibibyte = 2 ** 30
  for (const [message, asked] of [
    ['Out of memory allocating 2199023255552 bytes.', 2048 * gibibyte],
    ['RESOURCE_EXHAUSTED: Failed to allocate request for 2.0KiB (2048B) on device ordinal 0', 2048],
    ['Ran out of memory in memory space hbm. Used 20.50G of 15.48G hbm.', 20.5 * gibibyte],
    ['Allocator (GPU_0_bfc) ran out of memory trying to allocate 1.50GiB with freed_by_count=0.', 1.5 * gibibyte],
    ['no number', undefined],
  ] as const)
    expect(askedIn(message)).toBe(asked)
  const thrown = (memory?: { readonly limit: number; readonly inUse: number }) =>
    guarded(
      'run',
      'xla:cuda',
      () => Promise.reject(new PluginError(8, 'Out of memory allocating 3221225472 bytes.\nmore')),
      () => memory,
    )()
  expect(await thrown({ limit: 8 * gibibyte, inUse: 6 * gibibyte })).toMatchObject({
    left: [
      {
        tag: 'run',
        at: 'xla:cuda',
        expected: 'memory for 3.0 GiB more',
        got: '2.0 GiB free of 8.0 GiB: Out of memory allocating 3221225472 bytes.',
        shortage: { asked: 3 * gibibyte, free: 2 * gibibyte, limit: 8 * gibibyte },
      },
    ],
  })
  expect(await thrown()).toMatchObject({
    left: [{ expected: 'memory for 3.0 GiB more', shortage: { asked: 3 * gibibyte } }],
  })
  const other = await guarded('run', 'xla:cuda', () => Promise.reject(new PluginError(13, 'Out of ideas')))()
  expect(other).toMatchObject({ left: [{ got: 'Out of ideas' }] })
})

await suiteOn('xla:cpu', 'what is no number stays so, on xla:cpu', (executor) => {
  test('of two numbers, and of an axis', async () => {
    const [a, b] = [D.input('a', float(3)), D.input('b', float(3))]
    const graph = graphOf({ most: pipe(a, D.maximum(b)), least: pipe(a, D.minimum(b)), all: pipe(a, D.reduceMax()) })
    const program = right(await executor.compile(graph, { mode: 'sampling' })())
    const of = (...numbers: readonly number[]) => floats([3], Float32Array.from(numbers))
    const { most, least, all } = right(await program.run({ a: of(Number.NaN, 1, 2), b: of(3, Number.NaN, 1) })())
    expect([most, least, all].map((v) => Array.from(v?.data ?? []))).toEqual([
      [Number.NaN, Number.NaN, 2],
      [Number.NaN, Number.NaN, 1],
      [Number.NaN],
    ])
    program.dispose()
  })
})

await suiteOn('xla:cpu', 'errors of XLA are ours, on xla:cpu', (executor) => {
  const compiled = async (text: string) => {
    const { client } = right(await engineOf('cpu')())
    return guarded('compile', 'xla:cpu', () => compileText(client, text))()
  }
  test.each([
    ['no text', ''],
    ['no program', 'module {'],
    [
      'an op that is not known',
      'func.func @main() -> tensor<f32> { %0 = stablehlo.erf %1 : tensor<f32> return %0 : tensor<f32> }',
    ],
    ['types that do not fit', 'func.func @main(%a: tensor<2xf32>) -> tensor<3xf32> { return %a : tensor<3xf32> }'],
  ])('%s', async (_, text) => {
    expect(await compiled(text)).toMatchObject({ left: [{ tag: 'compile', at: 'xla:cpu' }] })
  })

  test('what is compiled is told: its ops, and memory in which state is counted once', async () => {
    const w = D.input('w', float(64, 64))
    const next = pipe(w, D.add(pipe(w, D.mul(2))))
    const graph = graphOf({ next, y: pipe(next, D.sum()) })
    const told = async (carry: Readonly<Record<string, string>>) =>
      right(
        await (executor.describe?.(graph, { mode: 'training', carry })() ?? Promise.reject(new Error('nothing told'))),
      )
    const [once, twice] = [await told({ next: 'w' }), await told({})]
    expect(once.ops).toMatchObject({ 'stablehlo.add': 1, 'stablehlo.multiply': 1, 'stablehlo.reduce': 1 })
    expect([once.memory.arguments, once.memory.alias, twice.memory.alias]).toEqual([64 * 64 * 4, 64 * 64 * 4, 0])
    expect(bytesOfDescribed(twice) - bytesOfDescribed(once)).toBe(64 * 64 * 4)
  })

  test.each([8, 6])('four devices train as one does, a batch of %s', async (n) => {
    const w = D.input('w', float(4, 3, 3, 3))
    const x = D.input('x', float(n, 3, 6, 6))
    const y = pipe(x, D.conv2d(w, { stride: [1, 1], padding: [1, 1, 1, 1] }), D.tanh)
    const loss = pipe(y, D.mul(y), D.mean())
    const [dw] = grad(loss, [w])
    if (dw === undefined) throw new Error('no gradient')
    const graph = optimise(graphOf({ loss, y, w: pipe(w, D.sub(pipe(dw, D.mul(0.5)))) }))
    const fed = { x: feed(1, float(n, 3, 6, 6)) }
    const trained = async (count: number) => {
      const program = right(await xla('cpu', { count, optimizerState: 'whole' }).compile(graph, { mode: 'training' })())
      const stepper = right(await program.start({ w: 'w' }, { w: feed(2, float(4, 3, 3, 3)) })())
      const steps = [right(await stepper.step(fed)()), right(await stepper.step(fed)()), right(await stepper.read())]
      program.dispose()
      return steps
    }
    const [one, four] = [await trained(1), await trained(4)]
    one.forEach((values, i) => {
      expect(allDifferences(four[i] ?? {}, values, 2e-6)).toBeUndefined()
    })
    const sharded = programOf(graph, { w: 'w' }, { devices: 4, whole: new Set(), carried: 'whole' }).sharded
    expect([...sharded.arguments]).toEqual(n === 8 ? ['x'] : [])
  })

  test('four devices that have a part each of the moments train as one does', async () => {
    const [shape, rows] = [float(8, 5), float(12, 5)]
    const w = D.parameter('', 'w', shape.shape, { kind: 'zeros' })
    const m = D.input('m', shape)
    const odd = D.input('odd', float(3))
    const loss = pipe(D.input('x', rows), D.matmul(pipe(w, D.transpose(1, 0))), D.tanh, D.sum())
    const [dw] = grad(loss, [w])
    if (dw === undefined) throw new Error('no gradient')
    const moment = pipe(m, D.mul(0.5), D.add(dw))
    const graph = optimise(
      graphOf({ loss, m: moment, w: pipe(w, D.sub(pipe(moment, D.mul(0.1)))), odd: pipe(odd, D.add(1)) }),
    )
    const carry = { m: 'm', w: 'w', odd: 'odd' }
    const initial = { m: feed(3, shape), w: feed(2, shape), odd: feed(4, float(3)) }
    const trained = async (asked: AskedDevices) => {
      const program = right(await xla('cpu', asked).compile(graph, { mode: 'training' })())
      const stepper = right(await program.start(carry, initial)())
      const step = async (seed: number) => right(await stepper.step({ x: feed(seed, rows) })())
      const found = [await step(1), await step(2), right(await stepper.read())]
      program.dispose()
      return found
    }
    const one = await trained({ count: 1, optimizerState: 'whole' })
    const parts = await trained({ count: 4, optimizerState: 'parts' })
    one.forEach((values, i) => {
      expect(allDifferences(parts[i] ?? {}, values, 2e-6)).toBeUndefined()
    })
    const { sharded, text } = programOf(graph, carry, { devices: 4, whole: new Set(), carried: 'parts' })
    expect([[...sharded.arguments].toSorted(), [...sharded.outputs]]).toEqual([['m', 'x'], ['m']])
    expect(text).toMatch(/-> \(.*\{"batch"\}.*\) \{/)
  })

  test('pictures that are drawn are shared out, and drawn as by one device', async () => {
    const w = D.parameter('', 'w', [4, 4, 3, 3], { kind: 'zeros' })
    const x = D.input('x', float(8, 4, 6, 6))
    const told = D.input('told', float(8, 4, 1, 1))
    const graph = graphOf({
      x: pipe(x, D.conv2d(w, { stride: [1, 1], padding: [1, 1, 1, 1] }), D.add(told), D.tanh),
    })
    const drawn = async (count: number) => {
      const constants = { w: feed(1, float(4, 4, 3, 3)) }
      const asked = xla('cpu', { count, optimizerState: 'whole' })
      const program = right(await asked.compile(graph, { mode: 'sampling', constants })())
      const initial = { x: feed(2, float(8, 4, 6, 6)), told: feed(3, float(8, 4, 1, 1)) }
      const stepper = right(await program.start({ x: 'x' }, initial)())
      for (let i = 0; i < 3; i++) right(await stepper.step({})())
      const found = right(await stepper.read())
      program.dispose()
      return found
    }
    expect(allDifferences(await drawn(4), await drawn(1), 2e-6)).toBeUndefined()
    const { sharded } = programOf(graph, { x: 'x' }, { devices: 4, whole: new Set(['w', 'told']), carried: 'parts' })
    expect([...sharded.arguments, ...sharded.outputs]).toEqual(['x', 'x'])
  })

  test('500 steps in place end where they should', async () => {
    const w = D.input('w', float(64))
    const program = right(await executor.compile(graphOf({ next: pipe(w, D.add(1)) }), { mode: 'training' })())
    const stepper = right(await program.start({ next: 'w' }, { w: floats([64], new Float32Array(64)) })())
    for (let i = 0; i < 500; i++) right(await stepper.step({})())
    expect(right(await stepper.read()).w?.data.every((x) => x === 500)).toBe(true)
    program.dispose()
  })

  test('programs that were disposed of, and steps, leave nothing in memory', async () => {
    const type = float(2 ** 20)
    const [w, x, k] = [D.input('w', type), D.input('x', type), D.input('k', type)]
    const next = pipe(w, D.add(x), D.add(k))
    const graph = graphOf({ next, y: pipe(next, D.sum()) })
    const ones = floats(type.shape, new Float32Array(2 ** 20).fill(1))
    const lived = async (steps: number): Promise<void> => {
      const program = right(await executor.compile(graph, { mode: 'training', constants: { k: ones } })())
      const stepper = right(await program.start({ next: 'w' }, { w: ones })())
      right(await fedAhead(stepper)({ x: ones })())
      for (let i = 0; i < steps; i++) right(await stepper.step({ x: ones })())
      program.dispose()
    }
    const grown = async (body: () => Promise<void>): Promise<number> => {
      const before = process.memoryUsage.rss()
      await body()
      return (process.memoryUsage.rss() - before) / 2 ** 20
    }
    for (let i = 0; i < 4; i++) await lived(4)
    // Each program has 16 MiB, each step is fed 4.
    const byPrograms = await grown(async () => {
      for (let i = 0; i < 12; i++) await lived(1)
    })
    expect(byPrograms).toBeLessThan(64)
    expect(await grown(() => lived(100))).toBeLessThan(100)
  })

  test('a program that is disposed of while its step is being fed lets it come to its end', async () => {
    const type = float(2 ** 20)
    const [w, x, k] = [D.input('w', type), D.input('x', type), D.input('k', type)]
    const ones = floats(type.shape, new Float32Array(2 ** 20).fill(1))
    const graph = graphOf({ next: pipe(w, D.add(x), D.mul(k)), y: pipe(x, D.mul(k), D.sum()) })
    const program = right(await executor.compile(graph, { mode: 'training', constants: { k: ones } })())
    const stepper = right(await program.start({ next: 'w' }, { w: ones })())
    const stepping = stepper.step({ x: ones })()
    await Promise.resolve()
    await Promise.resolve()
    await Promise.resolve()
    program.dispose()
    const ended = await stepping
    if (E.isRight(ended)) expect(ended.right.y?.data[0]).toBe(2 ** 20)
    else expect(ended.left[0]).toMatchObject({ tag: 'run', got: 'one that was disposed of' })
  })

  test('a line that XLA does not take is told by its node', async () => {
    const program = programOf(graphOf({ y: D.neg(D.input('x', float(2))) }), {})
    const engine = right(await engineOf('cpu')())
    const text = program.text.replace('stablehlo.negate', 'stablehlo.negative')
    expect(await loadProgram(engine, { ...program, text })()).toMatchObject({
      left: [{ tag: 'compile', at: '(root) (neg, node 1)', got: expect.stringContaining('negative') }],
    })
  })

  test('a program that was kept, and that the plugin does not take any more, is compiled anew', () =>
    withCacheOfItsOwn(async () => {
      const program = programOf(graphOf({ y: D.neg(D.input('x', float(2))) }), {})
      const engine = right(await engineOf('cpu')())
      await keep(keyOf(engine.identity, (await digestOf(Buffer.from(program.text))).toString('hex')), Uint8Array.of(7))
      const loaded = right(await loadProgram(engine, program)())
      expect(loaded.outputs).toBe(1)
      await unload(engine.client, loaded)
    }))

  test('more memory than there is', async () => {
    const x = D.input('x', float(1, 1))
    const graph = graphOf({ y: pipe(x, D.broadcast(2 ** 19, 2 ** 20)) })
    const program = right(await executor.compile(graph, { mode: 'sampling' })())
    const run = await program.run({ x: floats([1, 1], Float32Array.of(1)) })()
    if (E.isRight(run)) throw new Error('it ran')
    expect(run.left[0]).toMatchObject({ at: 'xla:cpu', expected: expect.stringContaining('memory') })
    program.dispose()
  })
})
