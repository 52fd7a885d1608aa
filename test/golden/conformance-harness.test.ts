import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { subjectOf } from '../../src/conformance/case.ts'
import { formulaParameter, hashUniform } from '../../src/conformance/formula.ts'
import { type CaseReport, runConformance, showCase } from '../../src/conformance/index.ts'
import { showErrors } from '../../src/error.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { parseSafetensors, type TensorFile } from '../../src/io/safetensors.ts'
import { encodeSafetensors } from '../../src/io/safetensors-writer.ts'
import type { StoredArray } from '../../src/io/stored.ts'
import { E, RR } from '../../src/prelude.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conformance-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The one case of a folder of its own, with these bytes under this name. */
const reportOf = async (area: string, bytes: Uint8Array, file = 'anything.safetensors'): Promise<CaseReport> => {
  const root = await mkdtemp(join(folder, 'case-'))
  await mkdir(join(root, area))
  await writeFile(join(root, area, file), bytes)
  const result = await runConformance({ fixtures: root, executor: reference })()
  const report = E.isRight(result) ? result.right : expect.unreachable(showErrors(result.left))
  return report.cases[0] ?? expect.unreachable('no case')
}

const fixture = (area: string, name: string): Promise<Buffer> =>
  readFile(join(import.meta.dirname, 'fixtures', area, name))

/** A copied case with something changed. */
const changed = async (area: string, name: string, change: (file: TensorFile) => TensorFile): Promise<CaseReport> => {
  const parsed = parseSafetensors(await fixture(area, name), name)
  const { tensors, metadata } = change(E.isRight(parsed) ? parsed.right : expect.unreachable(showErrors(parsed.left)))
  const encoded = encodeSafetensors(tensors, metadata)
  return reportOf(area, E.isRight(encoded) ? encoded.right : expect.unreachable(showErrors(encoded.left)))
}

const nudged = (array: StoredArray): StoredArray =>
  array.dtype === 'float32' ? { ...array, data: array.data.map((x, i) => (i === 3 ? x * 1.01 : x)) } : array
const nudging =
  (name: string) =>
  ({ tensors, metadata }: TensorFile): TensorFile => ({
    metadata,
    tensors: RR.mapWithIndex((key: string, array: StoredArray) => (key === name ? nudged(array) : array))(tensors),
  })
const configured =
  (change: Readonly<Record<string, unknown>>) =>
  ({ tensors, metadata }: TensorFile): TensorFile => ({
    tensors,
    metadata: { ...metadata, config: JSON.stringify({ ...JSON.parse(metadata.config ?? '{}'), ...change }) },
  })
const attention = 'crossattention_self.safetensors'

describe('a case', () => {
  test('is rebuilt from what it says, whatever its file is called', async () => {
    expect(await changed('attention', attention, (file) => file)).toMatchObject({ status: 'passed', failures: [] })
  })

  test.each(['in.x', 'param.to_q.weight', 'out.y', 'grad.in.x', 'grad.param.to_v.weight'])(
    'fails when %s is off',
    async (name) => {
      const { status, failures } = await changed('attention', attention, nudging(name))
      expect(status).toBe('failed')
      expect(failures.length).toBeGreaterThan(0)
      expect(failures[0]?.detail).toMatch(/^at \d+ of \d+: expected .+, got .+$/)
    },
  )

  test('fails when its configuration means something else', async () => {
    expect(await changed('attention', attention, configured({ heads: 2, dim_head: 8 }))).toMatchObject({
      status: 'failed',
    })
  })

  test('names a configuration key that does not fit', async () => {
    const { status, reason } = await changed('attention', attention, configured({ heads: 'four' }))
    expect(status).toBe('failed')
    expect(reason).toContain('/heads')
  })

  test('is skipped where its configuration asks for what is not offered', async () => {
    expect(await changed('attention', attention, configured({ novel: 1 }))).toMatchObject({
      status: 'skipped',
      reason: 'config not offered: novel',
    })
  })

  test('is skipped where its source is unknown', async () => {
    const unknown = ({ tensors, metadata }: TensorFile) => ({
      tensors,
      metadata: { ...metadata, source: 'a/b c/attention.py Novel' },
    })
    expect(await changed('attention', attention, unknown)).toMatchObject({
      status: 'skipped',
      reason: 'no adapter for "attention.py Novel"',
    })
  })

  test('of an unknown area is skipped', async () => {
    expect(await reportOf('novel', await fixture('attention', attention))).toMatchObject({ status: 'skipped' })
  })

  test('that cannot be read fails', async () => {
    const bytes = await fixture('attention', attention)
    expect(await reportOf('attention', bytes.subarray(0, 100))).toMatchObject({ status: 'failed' })
  })

  test('fails where an expected tensor is not computed', async () => {
    const { failures } = await changed('attention', attention, ({ tensors, metadata }) => ({
      metadata,
      tensors: { ...tensors, 'out.novel': { dtype: 'float32', shape: [1], data: Float32Array.of(1) } },
    }))
    expect(failures).toMatchObject([{ tensor: 'out.novel', detail: 'was not computed' }])
  })

  test('fails where the network has other parameters than the reference', async () => {
    const { status, reason } = await changed('unet', 'class_cond.safetensors', configured({ resblock_updown: true }))
    expect(status).toBe('failed')
    expect(reason).toContain('input_blocks.2.0.op.weight')
  })
})

describe('what the reference is off by itself in float32', () => {
  const off = (array: StoredArray): StoredArray =>
    array.dtype === 'float32' ? { ...array, data: array.data.map((x) => x * (1 + 5e-5)) } : array
  const judged = (name: string, f64: Readonly<Record<string, unknown>>) =>
    changed('attention', attention, ({ tensors, metadata }) => ({
      metadata: { ...metadata, f64_maxdiff: JSON.stringify(f64) },
      tensors: RR.mapWithIndex((key: string, array: StoredArray) => (key === name ? off(array) : array))(tensors),
    }))
  test.each([
    ['out.y', 'out.y'],
    ['out.y', 'y'],
    ['grad.in.x', 'grad.in.x'],
    ['grad.param.to_v.weight', 'grad.param.*'],
  ])('is forgiven: %s, told as %s', async (name, told) => {
    expect(await judged(name, {})).toMatchObject({ status: 'failed', failures: [{ tensor: name }] })
    expect(await judged(name, { [told]: [1e-5, 6e-5] })).toMatchObject({ status: 'passed' })
    expect(await judged(name, { [told]: [1e-5, 4e-5] })).toMatchObject({ status: 'failed' })
  })
  test('is forgiven of no other tensor', async () => {
    const other = { 'out.z': [1, 1], 'grad.in.*': [1, 1], 'out.y': [null, 1] }
    expect(await judged('out.y', other)).toMatchObject({ status: 'failed' })
  })
})

describe('a training loop that learns the log-variance', () => {
  const init = 0.5
  const scalar = (x: number): StoredArray => ({ dtype: 'float64', shape: [], data: Float64Array.of(x) })
  const number = (array: StoredArray | undefined): number => Number(array?.data[0])
  /** The first step of the shipped loop, whose errors are the same whatever the log-variance. */
  const learning = (logvar: number) =>
    changed('training', 'latent_diffusion_loop.safetensors', ({ tensors, metadata }) => {
      const config = JSON.parse(metadata.config ?? '{}')
      const simple = number(tensors['out.step0.log.train/loss_simple'])
      const ldm = { ...config.ldm, learn_logvar: true, logvar_init: init }
      return {
        metadata: { ...metadata, config: JSON.stringify({ ...config, ldm, steps: 1 }) },
        tensors: {
          ...RR.filterWithIndex((name: string) => /^in\.step0\.|loss_simple$/.test(name) && !/step[1-9]/.test(name))(
            tensors,
          ),
          'out.step0.loss': scalar(simple / Math.exp(logvar) + logvar),
          'out.step0.log.logvar': scalar(logvar),
        },
      }
    })
  test('begins at logvar_init where the case does not ship it', async () => {
    expect(await learning(init)).toMatchObject({ status: 'passed', failures: [] })
    expect((await learning(0)).failures.map(({ tensor }) => tensor).toSorted()).toEqual([
      'out.step0.log.logvar',
      'out.step0.loss',
    ])
  })
})

describe('a buffer', () => {
  const filled = (shape: readonly number[], value: number): StoredArray => ({
    dtype: 'float32',
    shape,
    data: new Float32Array(shape.reduce((n, d) => n * d, 1)).fill(value),
  })
  /** A discriminator of zeros: its batch norm sees zeros, and its logits are the last bias. */
  const discriminatorCase = (mode: string, before: number, after: number): Promise<CaseReport> => {
    const [mean, variance, count] = ['main.3.running_mean', 'main.3.running_var', 'main.3.num_batches_tracked']
    const encoded = encodeSafetensors(
      {
        'in.x': filled([2, 1, 8, 8], 1),
        'param.main.0.weight': filled([1, 1, 4, 4], 0),
        'param.main.0.bias': filled([1], 0),
        'param.main.2.weight': filled([2, 1, 4, 4], 0),
        'param.main.3.weight': filled([2], 1),
        'param.main.3.bias': filled([2], 0),
        [`param.${mean}`]: filled([2], before),
        [`param.${variance}`]: filled([2], 1),
        [`param.${count}`]: filled([], 7),
        'param.main.5.weight': filled([1, 2, 4, 4], 0),
        'param.main.5.bias': filled([1], 0.5),
        'out.logits': filled([2, 1, 2, 2], 0.5),
        [`out.buffer.${mean}`]: filled([2], after),
        [`out.buffer.${variance}`]: filled([2], 1),
        [`out.buffer.${count}`]: filled([], 7),
      },
      {
        source: 'CompVis/taming-transformers taming/modules/discriminator/model.py NLayerDiscriminator',
        config: JSON.stringify({ input_nc: 1, ndf: 1, n_layers: 1, mode }),
      },
    )
    return reportOf('discriminator', E.isRight(encoded) ? encoded.right : expect.unreachable(showErrors(encoded.left)))
  }

  test('that training changes and the file has only from after the call is left out, and the line says so', async () => {
    const report = await discriminatorCase('train', 1, 1)
    expect(report).toMatchObject({ status: 'passed', worst: { tensor: 'out.logits' } })
    expect(showCase(report)).toMatch(/\(3 buffers shipped only after the call: not compared\)$/)
  })

  test('of which the file has both states is compared', async () => {
    const right = await discriminatorCase('train', 2, 1.8)
    expect(right).toMatchObject({ status: 'passed', note: '2 buffers shipped only after the call: not compared' })
    expect(await discriminatorCase('train', 2, 1.7)).toMatchObject({
      status: 'failed',
      failures: [{ tensor: 'out.buffer.main.3.running_mean' }],
    })
  })

  test('is compared in evaluation, which changes none', async () => {
    const report = await discriminatorCase('eval', 1, 1)
    expect(report.status).toBe('passed')
    expect(report.note).toBeUndefined()
  })
})

describe('the hash formula', () => {
  test('has the test vector of the fixtures', () => {
    expect([...hashUniform('demo:conv.weight', 4)]).toEqual([
      -0.6896456726826727, -0.3261933824978769, 0.47508987644687295, 0.9496157495304942,
    ])
  })

  test('scales by rank and name', () => {
    const first = (key: string, shape: readonly number[]) => formulaParameter('demo', 2, key, shape).data[0]
    expect(first('conv.weight', [4, 3])).toBe(Math.fround(2 * -0.6896456726826727))
    expect(first('conv.weight', [4])).toBe(Math.fround(1 + 0.25 * -0.6896456726826727))
    expect(first('conv.bias', [1])).toBe(Math.fround(0.1 * (hashUniform('demo:conv.bias', 1)[0] ?? 0)))
  })
})

test.each([
  ['CompVis/latent-diffusion ldm/modules/attention.py CrossAttention', 'attention.py CrossAttention'],
  ['CompVis/latent-diffusion ldm/models/autoencoder.py AutoencoderKL (Encoder of ...)', 'autoencoder.py AutoencoderKL'],
  ['a/b ldm/models/diffusion/ddpm.py LatentDiffusion.p_losses + AdamW', 'ddpm.py LatentDiffusion.p_losses'],
  ['PyTorch torch.optim.AdamW (1.13)', 'torch.optim.AdamW'],
  ['CompVis/latent-diffusion ldm/lr_scheduler.py', 'lr_scheduler.py'],
])('the subject of %s', (source, subject) => expect(subjectOf(source)).toBe(subject))
