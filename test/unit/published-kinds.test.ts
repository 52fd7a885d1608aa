import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  type BoxClasses,
  boxesFrom,
  boxItems,
  boxItemsOfText,
  boxTokensOf,
  tokensOfBoxes,
} from '../../src/data/boxes.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { floats, ints, type Value } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { drawPipeline } from '../../src/pipelines/draw.ts'
import { withDiffusers } from '../../src/pipelines/read-diffusers.ts'
import type { Pipeline, Request } from '../../src/pipelines/request.ts'
import { writeDiffusers } from '../../src/pipelines/write.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { keyedNoise } from '../../src/samplers/index.ts'
import { decode } from '../../src/schema.ts'
import { type documents, modelOf } from './published-models.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}

/** What is seen while a model draws one picture. */
const seenBy = async (
  name: keyof typeof documents,
  asked: Partial<Request>,
  tokenizers: Pipeline['tokenizers'] = [],
) => {
  const { document, weights } = modelOf(name)
  const seen = new Map<string, Value>()
  const request: Request = {
    ...{ count: 1, height: 16, width: 16, steps: 2, guidance: 1, guidanceRescale: 0, eta: 0, strength: 1 },
    ...{ pictureGuidance: 1, clipSkip: 0, ...asked },
  }
  const drawn = await drawPipeline({
    executor: onnx('cpu'),
    pipeline: { document, weights, tokenizers },
    request,
    noise: (wanted, pictures) => keyedNoise(3, pictures)(wanted),
    see: (what, value) => {
      seen.set(seen.has(what) ? `${what}, at last` : what, value)
    },
  })()
  const of = (component: string, array: string) =>
    weights[component]?.[array]?.read().then((read) => (E.isRight(read) ? [...read.right.data].map(Number) : []))
  return { drawn, seen, of }
}

describe('a model that is told label maps', () => {
  it('sees the shares of labels, mapped, beside the latents', async () => {
    const map = Int32Array.from({ length: 256 }, (_, i) => (i * 7) % 5)
    const { drawn, seen, of } = await seenBy('label maps', { labelMap: ints([1, 16, 16], map) })
    const pictures = right(drawn)
    expect(pictures.shape).toEqual([1, 3, 16, 16])
    const mapper = (await of('rescaler', 'channel_mapper.weight')) ?? []
    const { data = [] } = seen.get('beside') ?? {}
    for (const [channel, y, x] of [
      [0, 0, 0],
      [1, 3, 5],
      [2, 7, 7],
    ] as const) {
      const own = [0, 1].flatMap((dy) => [0, 1].map((dx) => map[(2 * y + dy) * 16 + 2 * x + dx] ?? 0))
      const expected = own.reduce((sum, label) => sum + (mapper[channel * 5 + label] ?? 0) / 4, 0)
      expect(data[channel * 64 + y * 8 + x]).toBeCloseTo(expected, 6)
    }
    const { drawn: other } = await seenBy('label maps', {
      labelMap: ints(
        [1, 16, 16],
        map.map((l) => 4 - l),
      ),
    })
    expect(right(other).data).not.toEqual(pictures.data)
  })
  it('asks for one', async () => {
    const { drawn } = await seenBy('label maps', {})
    expect(E.isLeft(drawn) && drawn.left.map(({ at }) => at)).toEqual(['--label-map'])
  })
})

const boxesOfText = (text: string, classes: BoxClasses, at: string) =>
  pipe(
    boxItemsOfText(text, at),
    E.flatMap((items) => boxesFrom(items, classes, at)),
  )
const boxesOf = (document: unknown, classes: BoxClasses, at: string) =>
  pipe(
    document,
    decode(boxItems, { base: at }),
    E.flatMap((items) => boxesFrom(items, classes, at)),
  )

describe('boxes', () => {
  // By taming's ObjectsBoundingBoxConditionalBuilder(no_max_objects=2, no_tokens=30, encode_crop=True): 5 places a side.
  const layout = boxTokensOf(8, 30) ?? expect.unreachable()
  const boxes = right(boxesOfText('0.125, 0.5, 0.625, 0.9 3; 0,0,1,1 17', 29, '--boxes'))
  it('are tokens of classes and corners, filled up, and the frame', () => {
    expect(layout).toEqual({ objects: 2, vocabulary: 30, frame: true })
    // x 0.125 * 4 = 0.5 goes to 0 and 0.625 * 4 = 2.5 to 2, as Python rounds.
    expect(right(tokensOfBoxes(layout, boxes))).toEqual([3, 10, 22, 17, 0, 24, 0, 24])
    expect(right(tokensOfBoxes(layout, boxes.slice(1)))).toEqual([17, 0, 24, 29, 29, 29, 0, 24])
    expect(right(tokensOfBoxes({ ...layout, frame: false }, []))).toEqual([29, 29, 29, 29, 29, 29])
    expect(E.isLeft(tokensOfBoxes({ ...layout, objects: 1 }, boxes))).toBe(true)
    expect([boxTokensOf(2, 30), boxTokensOf(4, 30), boxTokensOf(92, 8192)]).toEqual([
      undefined,
      undefined,
      { objects: 30, vocabulary: 8192, frame: true },
    ])
  })
  it('are read from JSON and from words, and refused with their place', () => {
    const [box] = boxes
    const item = { box: [0.125, 0.5, 0.625, 0.9], class: 'd' }
    expect(right(boxesOf([item], ['a', 'b', 'c', 'd'], 'a.json'))).toEqual([box])
    const places = (document: unknown) => {
      const read = boxesOf(document, ['a', 'd'], 'a.json')
      return E.isLeft(read) ? read.left.map(({ at }) => at) : []
    }
    expect(places([item, { ...item, class: 'e' }])).toEqual(['a.json/1/class'])
    expect(places([{ ...item, box: [0.5, 0, 0.5, 1] }])).toEqual(['a.json/0/box'])
    expect(places([{ ...item, box: [0, 0, 2, 1] }])).toEqual(['a.json/0/box/2'])
    expect(E.isLeft(boxesOfText('0,0,1', 29, '--boxes'))).toBe(true)
    expect(E.isLeft(boxesOfText('0,0,1,1 29', 29, '--boxes'))).toBe(true)
    expect(right(boxesOfText('', 29, '--boxes'))).toEqual([])
  })
  it('are what a network attends to; none are what guidance leads away from', async () => {
    const { drawn, seen } = await seenBy('boxes', { boxes, guidance: 2 })
    expect(right(drawn).shape).toEqual([1, 3, 16, 16])
    expect([...(seen.get('ids.boxes')?.data ?? [])]).toEqual([3, 10, 22, 17, 0, 24, 0, 24])
    expect([...(seen.get('ids.boxes.negative')?.data ?? [])]).toEqual([29, 29, 29, 29, 29, 29, 0, 24])
    expect(seen.get('embeds')?.shape).toEqual([1, 8, 16])
    const { drawn: other } = await seenBy('boxes', { boxes: boxes.slice(1) })
    const { drawn: plain } = await seenBy('boxes', { boxes })
    expect(right(other).data).not.toEqual(right(plain).data)
  })
  it('are asked for', async () => {
    const { drawn } = await seenBy('boxes', {})
    expect(E.isLeft(drawn) && drawn.left.map(({ at }) => at)).toEqual(['--boxes'])
  })
})

describe('a model that draws by nothing', () => {
  const draw = async (name: 'unconditional' | 'pixels', pipeline: Pick<Pipeline, 'document' | 'weights'>) => {
    const drawn = await drawPipeline({
      executor: onnx('cpu'),
      pipeline: { ...pipeline, tokenizers: [] },
      request: {
        ...{ count: 1, height: 16, width: 16, steps: 4, guidance: 1, guidanceRescale: 0, eta: 0, strength: 1 },
        ...{ pictureGuidance: 1, clipSkip: 0 },
      },
      noise: (wanted, pictures) => keyedNoise(3, pictures)(wanted),
    })()
    expect(right(drawn).shape, name).toEqual([1, 3, 16, 16])
    return [...right(drawn).data].map(Number)
  }
  it.each(['unconditional', 'pixels'] as const)('draws the same as a folder of diffusers: %s', async (name) => {
    const dir = await mkdtemp(join(tmpdir(), 'latentgraph-kinds-'))
    const model = modelOf(name)
    right(await writeDiffusers(join(dir, name), model, false)())
    const own = await draw(name, model)
    const again = right(
      await withDiffusers(join(dir, name), undefined, (read) => TE.fromTask(() => draw(name, read)))(),
    )
    expect(Math.max(...own.map((x, i) => Math.abs(x - (again[i] ?? Number.NaN))))).toBeLessThan(1e-4)
    await rm(dir, { recursive: true })
  })
})

describe('a refiner', () => {
  const tokenizer: Pipeline['tokenizers'][number] = {
    ...{ start: 1, end: 63, pad: 0, positions: 77, size: 64, added: new Map(), adding: () => expect.unreachable() },
    encode: (text) => [...text].map((letter) => letter.charCodeAt(0) % 60),
    tokens: (ids) => ids.map(String),
    decode: () => '',
  }
  it('is told sizes and how pleasing a picture is, and the contrary for guidance', async () => {
    const picture = floats([1, 3, 16, 16], new Float32Array(768).fill(0.25))
    const { drawn, seen } = await seenBy(
      'Stable Diffusion XL refiner',
      { picture, strength: 0.5, guidance: 3, prompt: [''], aesthetic: 7 },
      [tokenizer],
    )
    expect(right(drawn).shape).toEqual([1, 3, 16, 16])
    expect(seen.get('vector.sizes')?.shape).toEqual([1, 5])
    expect([...(seen.get('vector.sizes')?.data ?? [])]).toEqual([16, 16, 0, 0, 2.5])
    expect([...(seen.get('vector.sizes, at last')?.data ?? [])]).toEqual([16, 16, 0, 0, 7])
  })
  it('asks for a picture', async () => {
    const { drawn } = await seenBy('Stable Diffusion XL refiner', { prompt: [''] }, [tokenizer])
    expect(E.isLeft(drawn) && drawn.left.map(({ at }) => at)).toEqual(['--from'])
  })
})
