import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buffer, freeze, input, parameter } from '../../src/declare/index.ts'
import { floats, ints, type Value, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { firstStage } from '../../src/experiment/document.ts'
import { float, int } from '../../src/graph/types.ts'
import { restartDeadCodes } from '../../src/optimizers/index.ts'
import { decode } from '../../src/schema.ts'
import { firstStageStep } from '../../src/train/plan.ts'
import { lint } from '../../src/transform/index.ts'
import { right, runOn } from '../arbitrary/run.ts'

const [entries, dim] = [6, 3]
const name = 'quantize.embedding.weight'
const stateLeaf = (scope: string) => buffer(scope, name, [entries, dim], { kind: 'zeros' })
const leaves = {
  [name]: parameter('quantize.embedding', 'weight', [entries, dim], { kind: 'zeros' }),
  [`optimizer.m.${name}`]: stateLeaf('optimizer.m'),
  [`ema.shadow.${name}`]: stateLeaf('ema.shadow'),
  other: parameter('', 'other', [2], { kind: 'zeros' }),
}
const counted = (shape: readonly number[], from: number): Value =>
  floats(
    shape,
    Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => from + i),
  )
const state: Values = {
  [name]: counted([entries, dim], 100),
  [`optimizer.m.${name}`]: counted([entries, dim], 200),
  [`ema.shadow.${name}`]: counted([entries, dim], 300),
}
const usageLeaf = `optimizer.usage.${name}`

interface Occasion {
  readonly chosen: readonly number[]
  readonly usage: readonly number[]
  readonly due: number
  readonly drawn: number
}
/** Latents [n, dim, h, 1], each value its own place; `n h` codes chosen. */
const restarted = async (n: number, h: number, { chosen, usage, due, drawn }: Occasion) => {
  const { amend } = restartDeadCodes(
    name,
    entries,
    { every: 4, below: 2 },
    { latents: input('latents', float(n, dim, h, 1)), codes: input('codes', int(n, h, 1)) },
  )
  const { state: amended, log } = amend(leaves, { due: input('due', float()) })
  expect(Object.keys(amended)).not.toContain('other')
  const found = await runOn(reference)(right(freeze({ ...amended, ...log })), {
    ...state,
    [usageLeaf]: floats([entries], Float64Array.from(usage)),
    latents: counted([n, dim, h, 1], 0),
    codes: ints([n, h, 1], Int32Array.from(chosen)),
    due: floats([], Float64Array.of(due)),
    'codebook.restart': floats([1], Float64Array.of(drawn)),
  })
  const rows = (leaf: string): readonly string[] =>
    Array.from({ length: entries }, (_, k) => Array.from(found[leaf]?.data ?? []).slice(k * dim, (k + 1) * dim)).map(
      (row) => row.join(),
    )
  return { found, rows }
}
/** The vectors at each position of [n, dim, h, 1], as strings. */
const vectors = (n: number, h: number): readonly string[] =>
  Array.from({ length: n * h }, (_, p) =>
    Array.from({ length: dim }, (_, c) => (Math.floor(p / h) * dim + c) * h + (p % h)).join(),
  )
const rowsBefore = (leaf: string): readonly string[] =>
  Array.from({ length: entries }, (_, k) =>
    Array.from(state[leaf]?.data ?? [])
      .slice(k * dim, (k + 1) * dim)
      .join(),
  )

const usages = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: entries, maxLength: entries })
/** From fewer positions than codes to several for each. */
const sizes = fc.record({ n: fc.integer({ min: 1, max: 4 }), h: fc.integer({ min: 1, max: 5 }) })
const occasions = fc.record({ usage: usages, size: sizes, code: fc.nat(entries - 1), drawn: fc.nat(8388607) })
const count = (usage: readonly number[], code: number, times: number): readonly number[] =>
  usage.map((u, k) => u + (k === code ? times : 0))

describe('dead codes', () => {
  it('law: go where latents are, each to another as far as there are any; all else keeps its bits', () =>
    fc.assert(
      fc.asyncProperty(occasions, async ({ usage, size: { n, h }, code, drawn }) => {
        const chosen = Array.from({ length: n * h }, () => code)
        const occasion = { chosen, usage, due: 1, drawn: (drawn + 0.5) / 8388608 }
        const { found, rows } = await restarted(n, h, occasion)
        const dead = count(usage, code, n * h).map((u) => u < 2)
        expect(found.restarted_codes?.data[0]).toBe(dead.filter((x) => x).length)
        const moved = rows(name).filter((_, k) => dead[k])
        expect(moved.every((v) => vectors(n, h).includes(v))).toBe(true)
        if (n * h >= entries) expect(new Set(moved).size).toBe(moved.length)
        const places = vectors(n, h)
        const first = Math.floor(occasion.drawn * places.length)
        const stride = Math.max(1, Math.floor(places.length / entries))
        const spread = Array.from({ length: entries }, (_, k) => places[(first + k * stride) % places.length])
        expect(moved, 'from a drawn place on, as far from each other as there is room').toEqual(
          spread.filter((_, k) => dead[k]),
        )
        for (const leaf of Object.keys(state)) {
          const living = (all: readonly string[]) => all.filter((_, k) => !dead[k])
          expect(living(rows(leaf))).toEqual(living(rowsBefore(leaf)))
        }
        expect(rows(`ema.shadow.${name}`).filter((_, k) => dead[k])).toEqual(moved)
        expect(rows(`optimizer.m.${name}`).filter((_, k) => dead[k])).toEqual(moved.map(() => '0,0,0'))
        expect(Array.from(found[usageLeaf]?.data ?? [])).toEqual(usage.map(() => 0))
      }),
    ))

  it('law: between restarts codes are counted, and nothing else happens', () =>
    fc.assert(
      fc.asyncProperty(occasions, async ({ usage, size: { n, h }, code, drawn }) => {
        const chosen = Array.from({ length: n * h }, () => code)
        const { found, rows } = await restarted(n, h, { chosen, usage, due: 0, drawn: drawn / 8388608 })
        for (const leaf of Object.keys(state)) expect(rows(leaf)).toEqual(rowsBefore(leaf))
        expect(Array.from(found[usageLeaf]?.data ?? [])).toEqual(count(usage, code, n * h))
        expect(found.restarted_codes?.data[0]).toBe(0)
      }),
    ))

  const stage = (restart: object) =>
    right(
      decode(firstStage)({
        kind: 'vq',
        network: {
          ...{ inChannels: 3, outChannels: 3, resolution: 8, channels: 32, channelMultipliers: [1, 2], resBlocks: 1 },
          ...{ attention: 'none', zChannels: 2, latentChannels: 2, doubleZ: false },
        },
        quantizer: { kind: 'nearest', entries, ...restart },
        loss: {},
        training: {
          steps: 8,
          batchSize: 2,
          optimizer: { kind: 'adam' },
          learningRate: { kind: 'constant', rate: 1e-3 },
          emaDecay: 0.9,
        },
      }),
    )
  it('are part of a step where the experiment says so: usage is state, the rhythm is fed', () => {
    const plan = right(firstStageStep(stage({ restart: { every: 3 } })))
    expect(plan.carry[usageLeaf]).toBe(usageLeaf)
    expect(plan.initial(1)[usageLeaf]).toEqual(floats([entries], new Float32Array(entries)))
    expect([0, 1, 2, 3, 4, 5].map((step) => plan.hostFeeds(step)['codebook.due']?.data[0])).toEqual([0, 0, 1, 0, 0, 1])
    expect(lint(plan.declared, plan.intent)).toEqual([])
    expect(right(firstStageStep(stage({}))).carry[usageLeaf]).toBeUndefined()
  })
})
