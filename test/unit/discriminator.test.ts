import { describe, expect, test } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import type { Value } from '../../src/execute/executor.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, type Shape } from '../../src/graph/types.ts'
import { type DiscriminatorConfig, discriminator, discriminatorConfig } from '../../src/nn/index.ts'
import { decode } from '../../src/schema.ts'
import { initialValue } from '../../src/train/state.ts'
import { trainable } from '../../src/transform/index.ts'
import { evaluate, right } from './diffusion-fixtures.ts'

const declared = (u: unknown): DiscriminatorConfig => right(decode(discriminatorConfig)(u))
const leaves = (outputs: Readonly<Record<string, Tensor>>) => parameters(right(freeze(outputs)))
const picture = input('x', float(2, 3, 32, 32))

/** `loss.discriminator` of the published first stages, which is one by default. */
const normed = (k: string): readonly (readonly [string, Shape])[] =>
  [3, 6, 9].map((n, i) => [`main.${n}.${k}`, k === 'num_batches_tracked' ? [] : [128 * 2 ** i]])
const published: Readonly<Record<string, Shape>> = {
  'main.0.weight': [64, 3, 4, 4],
  'main.0.bias': [64],
  'main.2.weight': [128, 64, 4, 4],
  'main.5.weight': [256, 128, 4, 4],
  'main.8.weight': [512, 256, 4, 4],
  ...Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'].flatMap(normed)),
  'main.11.weight': [1, 512, 4, 4],
  'main.11.bias': [1],
}

describe('a discriminator', () => {
  test('has the published names and shapes', () => {
    const { y, buffers } = discriminator('', declared({}), { training: true })(picture)
    expect(Object.fromEntries(leaves({ y, ...buffers }).map((p) => [p.name, p.shape]))).toEqual(published)
    expect(trainable(y).length).toBe(5 + 2 + 2 * 3)
  })
  test('is given its weights as the reference does', () => {
    const found = leaves({ y: discriminator('', declared({}))(picture).y })
    const initial = (name: string) => found.find((p) => p.name === name)
    expect(initial('main.2.weight')?.init).toEqual({ kind: 'normal', std: 0.02 })
    expect(initial('main.3.weight')?.init).toEqual({ kind: 'normal', mean: 1, std: 0.02 })
    expect(initial('main.3.bias')?.init).toEqual({ kind: 'zeros' })
    expect(initial('main.0.bias')?.init).toEqual({ kind: 'uniform', bound: 1 / Math.sqrt(48) })
    const scale = found.flatMap((p) => (p.name === 'main.9.weight' ? Array.from(initialValue(1, p).data) : []))
    expect(scale.reduce((a, b) => a + b, 0) / scale.length).toBeCloseTo(1, 2)
  })
  test('sees a condition as further channels, whatever their number', () => {
    const { y } = discriminator('d', declared({ layers: 1 }))(input('x', float(1, 5, 8, 8)))
    expect(leaves({ y })[0]).toMatchObject({ name: 'd.main.0.weight', shape: [64, 5, 4, 4] })
  })
  test('too small a picture is a shape fault that names the layer', () => {
    const frozen = freeze({ y: discriminator('d', declared({}))(input('x', float(1, 3, 8, 8))).y })
    expect(frozen).toMatchObject({ left: [{ tag: 'shape', at: expect.stringMatching(/^d\.main\./) }] })
  })
})

describe('ActNorm in a discriminator', () => {
  const config = declared({ channels: 2, layers: 2, norm: 'act' })
  const valuesOf = (outputs: Readonly<Record<string, Tensor>>): Readonly<Record<string, Value>> =>
    Object.fromEntries(leaves(outputs).map((p) => [p.name, initialValue(3, p)]))
  const x: Value = {
    dtype: 'float32',
    shape: [2, 3, 32, 32],
    data: Float64Array.from({ length: 6144 }, (_, i) => Math.sin(i * 0.7) + Math.cos(i * 0.013)),
  }
  test('after its first step, the buffers in the leaves give the same logits', async () => {
    const first = discriminator('', config, { training: true, initialize: true })(picture)
    const outputs = { y: first.y, ...first.buffers }
    const { y, ...state } = await evaluate(outputs, { ...valuesOf(outputs), x })
    expect(Object.keys(state).toSorted()).toEqual(
      [3, 6].flatMap((n) => ['initialized', 'loc', 'scale'].map((k) => `main.${n}.${k}`)),
    )
    expect(state['main.6.initialized']?.data[0]).toBe(1)
    const later = { y: discriminator('', config, { training: true })(picture).y }
    const again = await evaluate(later, { ...valuesOf(later), ...state, x })
    Array.from(y?.data ?? []).forEach((v, i) => {
      expect(again.y?.data[i]).toBeCloseTo(v, 10)
    })
  })
  test('a second pass of the first step goes by what the first has set', async () => {
    const judge = discriminator('', config, { training: true, initialize: true })
    const first = judge(picture)
    const fake = input('fake', float(2, 3, 32, 32))
    const outputs = { y: judge(fake, first.buffers).y, ...first.buffers }
    const values = valuesOf(outputs)
    const seen: Value = { ...x, data: Float64Array.from(x.data, (v) => 3 * v + 1) }
    const { y, ...state } = await evaluate(outputs, { ...values, x, fake: seen })
    const later = { y: discriminator('', config, { training: true })(fake).y }
    const again = await evaluate(later, { ...values, ...state, fake: seen })
    Array.from(y?.data ?? []).forEach((v, i) => {
      expect(again.y?.data[i]).toBeCloseTo(v, 10)
    })
  })
})
