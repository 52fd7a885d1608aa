import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkPreviews, type PreviewOptions, withPreviews } from '../../src/cli/previews.ts'
import { drawKey, fillNormal } from '../../src/distributions/random.ts'
import { effect } from '../../src/error.ts'
import { floats } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { parameters } from '../../src/graph/graph.ts'
import { type Shape, size } from '../../src/graph/types.ts'
import { fromLayout, toLayout } from '../../src/io/key-map.ts'
import { unwritten, writeSafetensors } from '../../src/io/safetensors-writer.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import { taesdDecoderNames, taesdDecoderOf, taesdEncoderNames } from '../../src/nn/autoencoder/taesd-names.ts'
import { type Networked, networked } from '../../src/pipelines/document.ts'
import { decodeLatents } from '../../src/pipelines/first-stage.ts'
import { firstStageNetworks } from '../../src/pipelines/networks.ts'
import { withSmallDecoder } from '../../src/pipelines/read-first-stage.ts'
import { TE } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { done, right, said } from './published-models.ts'

/** Pictures of what is predicted on the way, and small decoders for them. */

const state = { dir: '' }
const at = (...path: readonly string[]): string => join(state.dir, ...path)
beforeAll(async () => {
  state.dir = await mkdtemp(join(tmpdir(), 'latentgraph-previews-'))
})
afterAll(() => rm(state.dir, { recursive: true }))

const blocks = { encoderBlocks: [1, 2, 0], decoderBlocks: [2, 0, 1] }
const stage: Networked = right(
  decode(networked)({
    kind: 'tiny',
    network: { inChannels: 3, outChannels: 3, latentChannels: 4, channels: 4, ...blocks },
  }),
)
const weights: StoredArrays = Object.fromEntries(
  parameters(right(firstStageNetworks(stage))).map(({ name, shape }) => {
    const data = new Float32Array(size(shape))
    fillNormal(drawKey(5, { step: 0, name, sample: 0 }), data)
    return [name, { dtype: 'float32', shape, data: data.map((x) => x / 4) }]
  }),
)
const of = (side: string): StoredArrays =>
  Object.fromEntries(Object.entries(weights).filter(([name]) => name.startsWith(side)))
const shapesOf = (arrays: StoredArrays): Readonly<Record<string, Shape>> =>
  Object.fromEntries(Object.entries(arrays).map(([name, { shape }]) => [name, shape]))

/** What a decoder on the disk makes of latents. */
const decodedBy = (path: string): Promise<readonly number[]> => {
  const latents = new Float32Array(2 * 4 * 2 * 2)
  fillNormal(drawKey(6, { step: 0, name: 'latents', sample: 0 }), latents)
  return done(
    withSmallDecoder(path, (read) =>
      effect(async (run) => {
        const pictures = decodeLatents(reference, read.stage, read.weights, floats([2, 4, 2, 2], latents), 1)
        return Array.from((await run(pictures)).data)
      }),
    ),
  )
}

describe("TAESD's own files", () => {
  it.each([
    ['encoder.', taesdEncoderNames],
    ['decoder.', taesdDecoderNames],
  ])('%s: their keys and back are the same arrays', (side, layout) => {
    const theirs = right(toLayout(layout)(of(side)))
    expect(Object.keys(theirs).some((key) => key.startsWith(side))).toBe(false)
    expect(right(fromLayout(layout, Object.keys(of(side)))(theirs)).arrays).toEqual(of(side))
  })
  it('say what decoder they hold', () => {
    const theirs = right(toLayout(taesdDecoderNames)(of('decoder.')))
    expect(right(taesdDecoderOf(shapesOf(theirs)))).toMatchObject({
      channels: 4,
      latentChannels: 4,
      decoderBlocks: [2, 0, 1],
    })
    // Those of the published one, for latents of four channels.
    const published = Object.fromEntries(
      [1, 7, 12, 17, 19].map((i): [string, Shape] => [`${i}.weight`, [i === 19 ? 3 : 64, i === 1 ? 4 : 64, 3, 3]]),
    )
    const whole = [3, 4, 5, 8, 9, 10, 13, 14, 15, 18].map((i): [string, Shape] => [
      `${i}.conv.0.weight`,
      [64, 64, 3, 3],
    ])
    expect(right(taesdDecoderOf({ ...published, ...Object.fromEntries(whole) })).decoderBlocks).toEqual([3, 3, 3, 1])
  })
  it('decode as the folder of diffusers with the same arrays', async () => {
    await mkdir(at('tiny'))
    await writeFile(
      at('tiny', 'config.json'),
      JSON.stringify({
        ...{
          _class_name: 'AutoencoderTiny',
          latent_channels: 4,
          num_encoder_blocks: [1, 2, 0],
          num_decoder_blocks: [2, 0, 1],
        },
        ...{ encoder_block_out_channels: [4, 4, 4], decoder_block_out_channels: [4, 4, 4] },
      }),
    )
    await done(writeSafetensors(at('tiny', 'diffusion_pytorch_model.safetensors'), unwritten(weights)))
    const file = at('taesd_decoder.safetensors')
    await done(writeSafetensors(file, unwritten(right(toLayout(taesdDecoderNames)(of('decoder.'))))))
    const numbers = await decodedBy(file)
    expect(numbers).toHaveLength(2 * 3 * 8 * 8)
    expect(numbers).toEqual(await decodedBy(at('tiny')))
  })
  it('are told from others', async () => {
    const file = at('taesd_encoder.safetensors')
    await done(writeSafetensors(file, unwritten(right(toLayout(taesdEncoderNames)(of('encoder.'))))))
    expect(await said(withSmallDecoder(file, () => TE.right(undefined)))).toMatch(/hint {5}that is its encoder/)
    expect(await said(withSmallDecoder(at('nowhere'), () => TE.right(undefined)))).toContain(
      'the file of a decoder of TAESD',
    )
  })
})

describe('previews', () => {
  /** Three pictures in batches of two, each step of which predicts something. */
  const drawn = (options: PreviewOptions, steps: number) => {
    const lines: string[] = []
    return done(
      withPreviews(options, { executor: reference, seed: 0, n: 3, say: (line) => lines.push(line) }, (preview) =>
        effect(async (run) => {
          for (const from of [0, 2])
            for (let step = 1; step <= steps; step++) {
              const n = from === 0 ? 2 : 1
              const predicted = { n, shape: [3, 2, 2], data: new Float32Array(n * 12).fill(step / steps) }
              const all = { done: (from / 2) * steps + step, of: 2 * steps, from, n, predicted: TE.right(predicted) }
              await run(preview?.(all) ?? TE.right(undefined))
            }
          return lines
        }),
      ),
    )
  }
  it('are none where nobody asks', async () => {
    expect(await drawn({}, 3)).toEqual([])
  })
  it('are of every few steps and of the last, of each batch, and all in a strip: a row a picture', async () => {
    expect(await drawn({ previews: at('some'), previewEvery: 2 }, 5)).toEqual([
      `previews in ${at('some')}, by the model's own decoder`,
    ])
    expect((await readdir(at('some'))).toSorted()).toEqual([
      ...['3-step-2.png', '3-step-4.png', '3-step-5.png', 'step-2.png', 'step-4.png', 'step-5.png', 'strip.png'],
    ])
    const { width, height } = await sharp(at('some', 'strip.png')).metadata()
    expect([width, height]).toEqual([20, 20])
  })
  it('are eight at most where nobody says how many', async () => {
    await drawn({ previews: at('usual') }, 50)
    expect((await readdir(at('usual'))).filter((name) => name.startsWith('step-'))).toHaveLength(8)
  })
  it('are refused where they cannot be', async () => {
    expect(await said(checkPreviews({ previewEvery: 2 }))).toMatch(/^--preview-every\n {2}expected previews/)
    expect(await said(checkPreviews({ previewDecoder: 'x' }))).toMatch(/^--preview-decoder/)
    await mkdir(at('full', 'inside'), { recursive: true })
    expect(await said(checkPreviews({ previews: at('full') }))).toMatch(
      /^--previews\n {2}expected a folder that is empty/,
    )
    const other = withPreviews(
      { previews: at('other'), previewDecoder: at('taesd_decoder.safetensors') },
      { executor: reference, seed: 0, n: 1, say: () => undefined },
      (preview) =>
        preview?.({
          done: 1,
          of: 1,
          from: 0,
          n: 1,
          latents: { n: 1, shape: [16, 2, 2], data: new Float32Array(64) },
        }) ?? TE.right(undefined),
    )
    expect(await said(other)).toMatch(
      /^--preview-decoder\n {2}expected a decoder of latents of 16 channels.*\n {2}got {6}4/,
    )
  })
})
