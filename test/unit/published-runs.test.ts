import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Checked, type Effect, showErrors } from '../../src/error.ts'
import { floats, type Value } from '../../src/execute/executor.ts'
import { pngText, withPngText } from '../../src/io/png-text.ts'
import type { UnreadArrays } from '../../src/io/stored.ts'
import { isDiffusersFolder, withDiffusers } from '../../src/pipelines/read-diffusers.ts'
import { recognised } from '../../src/pipelines/recognise.ts'
import { batchOf, bicubicAt, nearest, repeatedRows } from '../../src/pipelines/request.ts'
import { E, TE } from '../../src/prelude.ts'
import { originalModel } from '../../src/published/compvis/index.ts'
import { schedulerConfig } from '../../src/samplers/diffusers/config.ts'
import { schedulerOf } from '../../src/samplers/diffusers/schedulers.ts'
import { planSampling } from '../../src/samplers/index.ts'
import { decode } from '../../src/schema.ts'

const right = <A>(c: Checked<A>): A => (E.isRight(c) ? c.right : expect.unreachable(showErrors(c.left)))
const got = (c: Checked<unknown>): string => (E.isLeft(c) ? c.left.map((e) => e.got).join() : '')
const left = async (effect: Effect<unknown>): Promise<string> => {
  const result = await effect()
  return E.isLeft(result) ? showErrors(result.left) : ''
}

const state = { dir: '' }
beforeAll(async () => {
  state.dir = await mkdtemp(join(tmpdir(), 'latentgraph-published-'))
})
afterAll(() => rm(state.dir, { recursive: true }))

describe('texts in PNG files', () => {
  test('what is written is read, and the picture stays as it was', async () => {
    const png = new Uint8Array(
      await sharp(new Uint8Array(12), { raw: { width: 2, height: 2, channels: 3 } })
        .png()
        .toBuffer(),
    )
    const text = '{"prompt":"ein Käse 円, it\'s"}'
    const written = right(withPngText(png, 'latentgraph', text, 'a.png'))
    expect(right(pngText(written, 'latentgraph', 'a.png'))).toBe(text)
    expect(E.isLeft(pngText(png, 'latentgraph', 'a.png'))).toBe(true)
    expect(E.isLeft(pngText(new Uint8Array(3), 'latentgraph', 'a.png'))).toBe(true)
    const [before, after] = await Promise.all([png, written].map((bytes) => sharp(bytes).raw().toBuffer()))
    expect(after?.equals(before ?? new Uint8Array())).toBe(true)
  })
})

describe('arrays of requests', () => {
  const rows = (n: number, each: number): Value =>
    floats(
      [n, each],
      Float32Array.from({ length: n * each }, (_, i) => i),
    )

  test('batches of branches together hold each row once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 5 }), (branches, count) => {
        const all = rows(branches * count, 2)
        const parts = Array.from({ length: count }, (_, i) => batchOf(all, branches, [i]))
        for (let b = 0; b < branches; b++)
          for (let i = 0; i < count; i++)
            expect(Array.from(parts[i]?.data.subarray(b * 2, b * 2 + 2) ?? [])).toEqual(
              Array.from(all.data.subarray((b * count + i) * 2, (b * count + i) * 2 + 2)),
            )
      }),
      { numRuns: 30 },
    )
  })
  test('copies of a row stand after each other; a batch beyond the last repeats it', () => {
    expect(Array.from(repeatedRows(rows(2, 1), 4).data)).toEqual([0, 0, 1, 1])
    expect(Array.from(batchOf(rows(2, 1), 1, [1, 2]).data)).toEqual([1, 1])
  })
  test('planes at their own size stay; constant ones stay constant', () => {
    const plane = floats(
      [1, 1, 3, 4],
      Float32Array.from({ length: 12 }, (_, i) => i * i),
    )
    expect(Array.from(nearest(plane, 3, 4).data)).toEqual(Array.from(plane.data))
    expect(Array.from(bicubicAt(plane, 3, 4).data)).toEqual(Array.from(plane.data))
    const flat = floats([1, 1, 5, 5], new Float32Array(25).fill(0.25))
    for (const x of bicubicAt(flat, 3, 7).data) expect(x).toBeCloseTo(0.25, 6)
  })
})

describe('a part of a walk', () => {
  const pndm = (steps: number) =>
    right(
      schedulerOf('PNDMScheduler', right(decode(schedulerConfig)({ skip_prk_steps: true })), {
        steps,
        round: Math.fround,
        step: {},
        set: {},
      }),
    )
  test('PNDM is asked twice at its second timestep, but where its walk begins behind it', () => {
    const { transitions, sampler, path } = pndm(5)
    const told = (from: number) =>
      right(planSampling(sampler, path, transitions.slice(from))).steps.map(({ level }) => level.t)
    expect(told(0)).toEqual([800, 600, 600, 400, 200, 0])
    expect(told(2)).toEqual([600, 400, 200, 0])
  })
})

describe('what a checkpoint is', () => {
  const array = (...shape: readonly number[]): UnreadArrays[string] => ({
    dtype: 'F32',
    shape,
    bytes: 0,
    read: TE.left([{ tag: 'file', at: '', expected: '', got: '' }]),
  })
  const unet = (channels: number, context: number): UnreadArrays => ({
    'model.diffusion_model.input_blocks.0.0.weight': array(320, channels, 3, 3),
    'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight': array(320, context),
  })

  test.each([
    [4, 768, 'Stable Diffusion 1'],
    [9, 768, 'Stable Diffusion 1 inpainting'],
    [8, 768, 'Stable Diffusion 1 edited by words (InstructPix2Pix)'],
    [4, 1024, 'Stable Diffusion 2'],
    [5, 1024, 'Stable Diffusion 2 depth'],
    [4, 2048, 'Stable Diffusion XL'],
  ])('%i channels that are told %i numbers', (channels, context, name) => {
    const found = right(recognised('model.ckpt', unet(channels, context)))
    expect(found.name).toBe(name)
    const model = right(originalModel(found.config))
    expect(model.unet.inChannels).toBe(channels)
    expect(model.conditioning[0]?.key).toBe('txt')
  })
  test('others are said by what they are', () => {
    expect(got(recognised('a.ckpt', unet(4, 1280)))).toContain('1280 numbers a token')
    expect(got(recognised('a.ckpt', { 'conv.weight': array(1) }))).toContain('conv.weight')
    const refiner = { ...unet(4, 1280), 'conditioner.embedders.0.model.token_embedding.weight': array(49408, 1280) }
    const found = right(recognised('a.ckpt', refiner))
    expect(found.name).toBe('the refiner of Stable Diffusion XL')
    const { unet: network, conditioning } = right(originalModel(found.config))
    expect(network).toMatchObject({ modelChannels: 384, vector: 2560, attention: { depth: 4, contextDim: 1280 } })
    expect(conditioning.map(({ key }) => key).at(-1)).toBe('aesthetic_score')
    const each = JSON.parse(JSON.stringify(found.config).replace('"context_dim":1280', '"context_dim":[1280,1280]'))
    expect(right(originalModel(each)).unet).toEqual(network)
  })
})

test('folders of other families are refused by name', async () => {
  expect(await isDiffusersFolder(state.dir)()).toEqual(E.right(false))
  const read = async (name: string): Promise<string> => {
    await writeFile(join(state.dir, 'model_index.json'), JSON.stringify({ _class_name: name }))
    return left(withDiffusers(state.dir, undefined, () => TE.right(undefined)))
  }
  expect(await read('FluxPipeline')).toContain('FluxPipeline: Flux, which is not built')
  expect(await read('StableDiffusion3Pipeline')).toContain('Stable Diffusion 3, which is not built')
  expect(await read('MadeUpPipeline')).toContain('"MadeUpPipeline"')
  expect(await isDiffusersFolder(state.dir)()).toEqual(E.right(true))
})
