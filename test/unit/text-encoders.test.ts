import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, freeze, input, mean, part, square, type Tensor } from '../../src/declare/index.ts'
import { floats, ints, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { parameters } from '../../src/graph/graph.ts'
import { int, type Shape, size } from '../../src/graph/types.ts'
import { fromLayout, toLayout } from '../../src/io/key-map.ts'
import { readSafetensors } from '../../src/io/safetensors-file.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import {
  type ClipTextConfig,
  clipFile,
  clipFileNames,
  clipOwnNames,
  clipText,
  clipTextOf,
  openClipNames,
  t5Encoder,
  transformerEmbedder,
} from '../../src/nn/index.ts'
import { E, pipe } from '../../src/prelude.ts'
import { trainable } from '../../src/transform/index.ts'
import { right } from '../arbitrary/run.ts'

const golden = (file: string): string => join(import.meta.dirname, '../golden/text', file)
const { tensors } = right(await readSafetensors(golden('encoders.safetensors'))())
const under = (prefix: string): StoredArrays =>
  Object.fromEntries(
    Object.entries(tensors).flatMap(([key, a]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), a]] : [])),
  )
const configOf = (name: string): ClipTextConfig =>
  right(clipTextOf(JSON.parse(readFileSync(golden(`${name}.json`), 'utf8')), name))

type Outputs = Readonly<Record<string, Tensor>>
const computed = async (outputs: Outputs, feeds: Values): Promise<Values> => {
  const executable = right(await reference.compile(right(freeze(outputs)), { mode: 'sampling' })())
  return right(await executable.run(feeds)())
}
const idsOf = (rows: readonly (readonly number[])[]) =>
  ints([rows.length, rows[0]?.length ?? 0], Int32Array.from(rows.flat()))
const scaled = (got: ArrayLike<number> | undefined, wanted: ArrayLike<number>): number => {
  const [a, b] = [Array.from(got ?? []), Array.from(wanted)]
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  return Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? 0)))) / Math.max(...b.map(Math.abs))
}
const numbers = (key: string): readonly number[] => Array.from(tensors[key]?.data ?? [], Number)

const loaded = (outputs: Outputs, c: ClipTextConfig, file: StoredArrays) => {
  const names = parameters(right(freeze(outputs))).map(({ name }) => name)
  const { layout } = right(clipFile(Object.keys(file), c))
  return right(fromLayout(layout, names)(file))
}
const feedsOf = (arrays: StoredArrays): Values =>
  Object.fromEntries(
    Object.entries(arrays).map(([name, { shape, data }]) => [name, floats(shape, Float32Array.from(data, Number))]),
  )

describe('published text encoders', () => {
  const ids = (name: string) => idsOf([numbers(`ids/${name}`)])
  test("Stable Diffusion 2's, from OpenCLIP's packed arrays: the last layer but one, normalised", async () => {
    const c = { ...configOf('open-clip'), layers: 4 }
    const outputs = { y: clipText('', c)(input('ids', int(1, 77))).before(1) }
    const { arrays, left } = loaded(outputs, c, under('open-clip/'))
    expect(left.every((key) => /resblocks\.3|text_projection|logit_scale/.test(key))).toBe(true)
    const { y } = await computed(outputs, { ...feedsOf(arrays), ids: ids('open-clip') })
    expect(scaled(y?.data, numbers('expected/open-clip'))).toBeLessThan(5e-6)
  })
  test('both of XL: the last state but one of each, not normalised; the second pooled and projected', async () => {
    const [c1, c2] = [configOf('xl-1'), configOf('xl-2')]
    const first = { y: clipText('', c1)(input('ids', int(1, 77))).hidden.at(-2) ?? expect.unreachable() }
    const text = clipText('', c2)(input('ids', int(1, 77)))
    const second = {
      y: text.hidden.at(-2) ?? expect.unreachable(),
      pooled: text.projected ?? expect.unreachable(),
    }
    const a = await computed(first, { ...feedsOf(loaded(first, c1, under('xl-1/')).arrays), ids: ids('xl-1') })
    const b = await computed(second, { ...feedsOf(loaded(second, c2, under('xl-2/')).arrays), ids: ids('xl-2') })
    const row = (v: Values, i: number) =>
      Array.from(v.y?.data ?? []).slice(i * (v.y?.shape[2] ?? 0), (i + 1) * (v.y?.shape[2] ?? 0))
    const both = Array.from({ length: 77 }, (_, i) => [...row(a, i), ...row(b, i)]).flat()
    expect(scaled(both, numbers('expected/xl'))).toBeLessThan(5e-6)
    expect(scaled(b.pooled?.data, numbers('expected/xl-pooled'))).toBeLessThan(5e-6)
  })
  test('arrays written in the layout of OpenCLIP and read again are the same', () => {
    const c = configOf('xl-2')
    const outputs = { y: clipText('', c)(input('ids', int(1, 77))).projected ?? expect.unreachable() }
    const { arrays } = loaded(outputs, c, under('xl-2/'))
    const written = right(toLayout(openClipNames(c))(arrays))
    expect(written['transformer.resblocks.0.attn.in_proj_weight']?.shape).toEqual([72, 24])
    const again = right(fromLayout(openClipNames(c), Object.keys(arrays))(written))
    expect(again).toEqual({ arrays, left: [] })
  })
  test('the files of transformers 5 have no prefix, older ones count positions', () => {
    const c = configOf('xl-1')
    const bare = Object.keys(under('xl-1/')).map((key) => key.replace('text_model.', ''))
    const { layout } = right(clipFile(bare, c))
    expect(bare).toContain(layout('transformer.text_model.final_layer_norm.weight')?.key)
    const older = ['text_model.embeddings.position_ids', ...Object.keys(under('xl-1/'))]
    expect(right(clipFile(older, c)).ignored).toEqual(['text_model.embeddings.position_ids'])
    expect(E.isLeft(clipFile(['encoder.block.0'], c))).toBe(true)
  })
  test.each(['clip-vit-l', 'openclip-vit-h', 'openclip-vit-bigg'])(
    '%s has every key of the real size, in both layouts, and no other',
    (name) => {
      const path = golden(`manifests/${name}-text.json.gz`)
      const {
        config,
        class: kind,
        state_dict: theirs,
        original,
      } = JSON.parse(gunzipSync(readFileSync(path)).toString())
      const c = right(clipTextOf({ ...config, architectures: [kind] }))
      const text = clipText('', c)(input('ids', int(1, c.positions)))
      const outputs = { last: text.last, ...(text.projected && { projected: text.projected }) }
      const own = parameters(right(freeze(outputs)))
      const inFolder = (ours: string): string => clipFileNames(ours)?.key ?? ''
      expect(Object.fromEntries(own.map((p) => [inFolder(p.name), p.shape]))).toEqual(theirs)
      const [single, prefix] = name.startsWith('open')
        ? [openClipNames(c), name.endsWith('h') ? 'cond_stage_model.model.' : 'conditioner.embedders.1.model.']
        : [clipOwnNames, 'cond_stage_model.']
      const placed = own.map((p) => {
        const { key, ...how } = single(p.name) ?? { key: '' }
        const whole = prefix + key
        return [inFolder(p.name), Object.keys(how).length === 0 ? whole : { key: whole, ...how }]
      })
      expect(Object.fromEntries(placed)).toEqual(original)
    },
  )
})

const small: ClipTextConfig = {
  vocabulary: 20,
  positions: 8,
  width: 8,
  layers: 2,
  heads: 2,
  mlpWidth: null,
  activation: 'gelu',
  projection: 4,
  eps: 1e-5,
  endToken: null,
}
const waves = (name: string, shape: Shape): Float32Array => {
  const phase = Array.from(name).reduce((sum, c) => sum + c.charCodeAt(0), 0)
  return Float32Array.from({ length: size(shape) }, (_, i) => {
    const x = Math.sin(0.37 * i + phase) * 0.5
    return shape.length === 1 ? 1 + 0.2 * x : x
  })
}
const wavy = (outputs: Outputs): Values =>
  Object.fromEntries(
    parameters(right(freeze(outputs))).map(({ name, shape }) => [name, floats(shape, waves(name, shape))]),
  )

describe('laws', () => {
  const length = 8
  const row = fc.array(fc.integer({ min: 0, max: 18 }), { minLength: length, maxLength: length })
  test('what comes after a position changes nothing before it, nor what is pooled at the end', async () => {
    const text = clipText('', small)(input('ids', int(2, length)))
    const outputs = { last: text.last, projected: text.projected ?? expect.unreachable() }
    const weights = wavy(outputs)
    await fc.assert(
      fc.asyncProperty(row, row, fc.integer({ min: 1, max: length - 2 }), async (a, b, end) => {
        const one = [...a.slice(0, end), 19, ...a.slice(end + 1)]
        const other = [...one.slice(0, end + 1), ...b.slice(end + 1)]
        const { last, projected } = await computed(outputs, { ...weights, ids: idsOf([one, other]) })
        const states = Array.from(last?.data ?? [])
        const kept = (end + 1) * small.width
        expect(states.slice(length * small.width, length * small.width + kept)).toEqual(states.slice(0, kept))
        const pooled = Array.from(projected?.data ?? [])
        expect(pooled.slice(4)).toEqual(pooled.slice(0, 4))
      }),
      { numRuns: 12 },
    )
  })
  test('pooling is at the first end token where the configuration names one, whatever larger ids there are', async () => {
    const rows = [[1, 2, 5, 19, 5, 3, 3, 3]]
    const by = (endToken: number | null) => clipText('', { ...small, endToken })(input('ids', int(1, length)))
    const [largest, named] = [by(null), by(5)]
    const outputs = {
      largest: largest.pooled,
      named: named.pooled,
      at3: part(largest.last, 1, 3, 1),
      at2: part(named.last, 1, 2, 1),
    }
    const graph = right(freeze(outputs, { sharing: 'by name' }))
    const executable = right(await reference.compile(graph, { mode: 'sampling' })())
    const v = right(await executable.run({ ...wavy({ y: largest.pooled }), ids: idsOf(rows) })())
    expect(v.largest?.data).toEqual(v.at3?.data)
    expect(v.named?.data).toEqual(v.at2?.data)
  })
  test('BERT has no mask: padding takes part', async () => {
    const config = { width: 8, layers: 1, vocabulary: 20, positions: 8 }
    const outputs = { y: transformerEmbedder('', config)(input('ids', int(2, 4))) }
    const { y } = await computed(outputs, {
      ...wavy(outputs),
      ids: idsOf([
        [1, 2, 0, 0],
        [1, 2, 0, 3],
      ]),
    })
    const all = Array.from(y?.data ?? [])
    expect(all.slice(0, 8)).not.toEqual(all.slice(32, 40))
  })
  test('within a loss all of it trains; more tokens than positions are refused', () => {
    const loss = pipe(clipText('cond', small)(input('ids', int(2, 8))).last, square, mean())
    expect(trainable(loss)).toHaveLength(parameters(right(freeze({ loss }))).length)
    const long = freeze({ y: clipText('cond', small)(input('ids', int(1, 9))).last })
    expect(E.isLeft(long) && long.left[0]).toMatchObject({ expected: 'at most 8 tokens', got: '9' })
  })
})

/** Numbers of transformers' formulas in float64. */
const t5Numbers = {
  'gated-gelu': [
    -0.014533, -1.33478, 0.944936, 0.646718, -1.275271, 1.534405, 1.074726, -1.002789, -1.367216, 0.897165, 0.61628,
    -1.628134, -0.003947, 1.374465, -0.834522, -0.842417, -0.391913, 0.229526, 1.438298, -0.327526, -0.75444, 1.84279,
    -0.086075, -1.693699,
  ],
  relu: [
    -0.718284, -0.391209, 1.142932, -0.447664, -0.855282, 2.166652, 0.211991, -1.278842, -1.351482, -0.900929, 1.235414,
    -0.504397, -1.503377, 0.76034, 0.803075, -1.02881, -0.42804, -0.416705, 1.573724, 0.111526, -1.229171, 1.394881,
    0.581748, -1.600373,
  ],
}
describe('T5', () => {
  const config = { vocabulary: 11, width: 8, layers: 2, heads: 2, headChannels: 3, mlpWidth: 12, buckets: 32 }
  const rest = { farthest: 128, eps: 1e-6 }
  test.each(['gated-gelu', 'relu'] as const)('%s: near and far positions are told apart', async (activation) => {
    const y = t5Encoder('', { ...config, ...rest, activation })(input('ids', int(1, 150)))
    const outputs = { y: concat(1, part(y, 1, 0, 1), part(y, 1, 75, 1), part(y, 1, 149, 1)) }
    const ids = Array.from({ length: 150 }, (_, i) => (i * 7) % 11)
    const got = await computed(outputs, { ...wavy(outputs), ids: idsOf([ids]) })
    expect(scaled(got.y?.data, t5Numbers[activation])).toBeLessThan(2e-6)
  })
  test('padding that is masked takes no part', async () => {
    const keep = input('keep', { dtype: 'bool', shape: [1, 5] })
    const y = t5Encoder('', { ...config, ...rest, activation: 'relu' })(input('ids', int(1, 5)), keep)
    const outputs = { y: concat(1, part(y, 1, 0, 1), part(y, 1, 2, 1)) }
    const mask = { dtype: 'bool' as const, shape: [1, 5], data: Uint8Array.of(1, 1, 1, 0, 0) }
    const got = await computed(outputs, { ...wavy(outputs), ids: idsOf([[0, 7, 3, 10, 6]]), keep: mask })
    const wanted = [
      -0.917368, 0.051086, 1.031403, -0.819951, -0.494937, 2.246373, -0.138652, -1.170743, -0.099691, -0.049905,
      0.859153, 0.477451, -1.50943, 0.383848, 1.072466, -2.146416,
    ]
    expect(scaled(got.y?.data, wanted)).toBeLessThan(2e-6)
  })
})
