import { describe, expect, it } from 'vitest'
import { adapterLeaf } from '../../src/adapters/index.ts'
import { type Checked, type Effect, showErrors } from '../../src/error.ts'
import { floats } from '../../src/execute/executor.ts'
import { adaptedIn, adapterRules } from '../../src/experiment/adapter.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { parameters } from '../../src/graph/graph.ts'
import { E, TE } from '../../src/prelude.ts'
import { baseOf, drawnWith } from '../../src/train/base.ts'
import type { Base } from '../../src/train/options.ts'
import { modelParameters, planExperiment } from '../../src/train/plan.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const said = (c: Checked<unknown>): string => (E.isLeft(c) ? showErrors(c.left) : 'nothing')
const awaited = async <A>(x: Effect<A>): Promise<A> => right(await x())
const experiment = (adapter: object | undefined, ...sets: readonly string[]) =>
  loadExperiment('graphs/tiny.json', [
    ...sets,
    ...(adapter === undefined ? [] : [`/diffusion/adapter=${JSON.stringify(adapter)}`]),
  ])

describe('an adapter in an experiment', () => {
  it('is all that its step trains, carries and averages', async () => {
    const e = await awaited(experiment({ kind: 'lora', rank: 2, alpha: 4, on: ['qkv'] }))
    const { firstStage, diffusion } = right(planExperiment(e, 4))
    expect(firstStage).toBeUndefined()
    if (diffusion === undefined) throw new Error('no diffusion')
    const leaves = parameters(diffusion.step.declared)
    const adapted = adaptedIn(leaves.map(({ name }) => name))
    expect(adapted.length).toBeGreaterThan(0)
    expect(adapted.every((name) => name.endsWith('.qkv.weight'))).toBe(true)
    const own = adapted.flatMap((name) => [`lora/${name}/down`, `lora/${name}/up`])
    const trained = leaves.filter(({ name, trainable }) => trainable && !/^(optimizer|ema)\./.test(name))
    expect(trained.map(({ name }) => name).toSorted()).toEqual(own.toSorted())
    const carried = Object.keys(diffusion.step.carry)
    expect(carried.filter((name) => name.startsWith('optimizer.m.'))).toHaveLength(own.length)
    expect(carried.filter((name) => name.startsWith('ema.shadow.'))).toHaveLength(own.length)
    expect(carried).not.toContain('out.2.weight')
    expect(Object.keys(diffusion.step.initial(1)).filter((name) => name.startsWith('out.'))).toEqual([])
    const kept = modelParameters(diffusion).filter(({ trainable }) => !trainable)
    expect(kept.some(({ name }) => name === adapted[0])).toBe(true)
  })
  it('names words that no weight has, with the nearest', () => {
    const weight = 'middle_block.1.qkv.weight'
    const leaves = [weight, adapterLeaf('lora', weight, 'down'), adapterLeaf('lora', weight, 'up'), 'out.2.weight']
    const [found, ...more] = adapterRules({ kind: 'lora', rank: 2, on: ['qkv', 'qkw'] }, leaves)
    expect(more).toEqual([])
    expect(found).toMatchObject({ at: '/diffusion/adapter/on/1', hint: 'did you mean "qkv"?' })
  })
  it('is of a run that is named, of the same model, and has none itself', async () => {
    const lora = { kind: 'lora', rank: 2, on: ['qkv'], of: 'runs/base' }
    const e = await awaited(experiment(lora))
    const plain = await awaited(experiment(undefined))
    const of = (base: typeof e): Base => ({
      experiment: base,
      scale: 0.5,
      firstStage: {},
      diffusion: {
        w: floats([1], Float32Array.of(1)),
        'ema.shadow.w': floats([1], Float32Array.of(2)),
        'optimizer.m.w': floats([1], Float32Array.of(3)),
      },
    })
    const opened = (base: typeof e) => baseOf(e, { openBase: () => TE.right(of(base)) })()
    expect(right(await opened(plain))?.diffusion).toEqual({ w: floats([1], Float32Array.of(2)) })
    expect(said(await opened(e))).toContain('a run without an adapter')
    const wider = await awaited(experiment(undefined, '/diffusion/unet/modelChannels=64'))
    expect(said(await opened(wider))).toContain('/diffusion/unet/modelChannels')
    const nameless = await awaited(experiment({ kind: 'lora', rank: 2, on: ['qkv'] }))
    expect(said(await baseOf(nameless, { openBase: () => TE.right(of(plain)) })())).toContain('/diffusion/adapter/of')
    expect(right(await baseOf(plain, {})())).toBeUndefined()
    expect(drawnWith({})).toEqual({})
  })
})
