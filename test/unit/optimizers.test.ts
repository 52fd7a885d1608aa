import { describe, expect, test } from 'vitest'
import { input, leafName, type Tensor } from '../../src/declare/index.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { size } from '../../src/graph/types.ts'
import {
  adam,
  adamW,
  clipByGlobalNorm,
  ema,
  emaDecay,
  type Optimizer,
  scalarInputs,
  sgd,
  stateOutputs,
  type Tensors,
  torchMoments,
} from '../../src/optimizers/index.ts'
import { agree, evaluate, type Fixture, fixtures, near } from './diffusion-fixtures.ts'

interface Config {
  readonly optimizer: 'Adam' | 'AdamW' | 'SGD'
  readonly betas?: readonly [number, number]
  readonly eps?: number
  readonly weight_decay?: number
  readonly momentum?: number
  readonly steps: number
}

/** torch's defaults, given explicitly. */
const optimizerOf = (c: Config): Optimizer => {
  const { betas = [0.9, 0.999], eps = 1e-8 } = c
  const made: Readonly<Record<Config['optimizer'], Optimizer>> = {
    Adam: adam({ betas, eps, weightDecay: c.weight_decay ?? 0 }),
    AdamW: adamW({ betas, eps, weightDecay: c.weight_decay ?? 0.01 }),
    SGD: sgd({ momentum: c.momentum ?? 0, weightDecay: c.weight_decay ?? 0 }),
  }
  return made[c.optimizer]
}

const scalarsAt = (scope: string, scalars: Readonly<Record<string, number>>): Values =>
  Object.fromEntries(Object.entries(scalars).map(([k, x]) => [`${scope}.${k}`, floats([], Float64Array.of(x))]))
const leavesOf = (f: Fixture<unknown>, names: readonly string[], from: (name: string) => string): Tensors =>
  Object.fromEntries(names.map((k) => [k, input(k, typeOf(f.value(from(k))))]))
const typeOf = ({ dtype, shape }: Value) => ({ dtype, shape })
const zeros = (leaves: Tensors): Values =>
  Object.fromEntries(
    Object.values(leaves).map((x) => [leafName(x) ?? '', floats(x.shape, new Float64Array(size(x.shape)))]),
  )

describe.each(fixtures<Config>('training', /^(adam|sgd)/))('$name', (f) => {
  const names = ['w', 'b', 's']
  const optimizer = optimizerOf(f.config)
  const parameters = leavesOf(f, names, (k) => `param.${k}`)
  const gradients = Object.fromEntries(names.map((k) => [k, input(`grad.${k}`, typeOf(f.value(`param.${k}`)))]))
  const state = optimizer.init('optimizer', parameters)
  const next = optimizer.update({
    parameters,
    gradients,
    state,
    scalars: scalarInputs('optimizer', optimizer.scalars),
  })
  const outputs = { ...next.parameters, ...stateOutputs('optimizer', next.state) }

  test('every step, and the state after the last', async () => {
    let held: Values = {
      ...Object.fromEntries(names.map((k) => [k, f.value(`param.${k}`)])),
      ...zeros(stateOutputs('optimizer', state)),
    }
    for (let step = 0; step < f.config.steps; step++) {
      const rate = f.value('out.lr').data[step] ?? Number.NaN
      held = await evaluate(outputs, {
        ...held,
        ...Object.fromEntries(names.map((k) => [`grad.${k}`, f.value(`in.step${step}.grad.${k}`)])),
        ...scalarsAt('optimizer', optimizer.at({ step: step + 1, rate })),
      })
      for (const k of names) near(`${k} after step ${step}`, held[k], f.value(`out.step${step}.${k}`), 2e-6)
    }
    const factors = torchMoments(f.config.betas ?? [0.9, 0.999])
    const slots =
      f.config.optimizer === 'SGD'
        ? [['momentum', 'momentum_buffer', 1] as const]
        : [['m', 'exp_avg', factors.m] as const, ['v', 'exp_avg_sq', factors.v] as const]
    for (const [ours, theirs, factor] of slots)
      for (const k of names) {
        const data = Float64Array.from(held[`optimizer.${ours}.${k}`]?.data ?? [], (x) => x * factor)
        near(`${theirs} of ${k}`, floats([data.length], data), f.value(`out.state.${k}.${theirs}`), 2e-6)
      }
  })
})

test.each(fixtures<{ readonly max_norm: number }>('training', /^clip/))('$name', async (f) => {
  const names = Object.keys(f.arrays).flatMap((name) => (name.startsWith('in.') ? [name.slice(3)] : []))
  const { gradients, norm } = clipByGlobalNorm(f.config.max_norm)(
    Object.fromEntries(names.map((k) => [k, f.leaf(`in.${k}`)])),
  )
  const clipped = Object.entries(gradients).map(([k, x]): [string, Tensor] => [`out.${k}`, x])
  agree(f, await evaluate({ ...Object.fromEntries(clipped), 'out.total_norm': norm }, f.arrays), 2e-6)
})

interface EmaConfig {
  readonly decay: number
  readonly use_num_updates: boolean
  readonly steps: number
  readonly buffer_names: readonly (readonly [parameter: string, shadow: string])[]
}
test.each(fixtures<EmaConfig>('training', /^litema/))('$name', async (f) => {
  const options = { decay: f.config.decay, warmUp: f.config.use_num_updates }
  const average = ema(options)
  const names = f.config.buffer_names.map(([parameter]) => parameter)
  const parameters = leavesOf(f, names, (k) => `param.${k}`)
  const state = average.init('ema', parameters)
  const outputs = stateOutputs(
    'ema',
    average.update({ parameters, state, scalars: scalarInputs('ema', average.scalars) }),
  )
  let held: Values = Object.fromEntries(names.map((k) => [`ema.shadow.${k}`, f.value(`param.${k}`)]))
  for (let step = 0; step < f.config.steps; step++) {
    held = await evaluate(outputs, {
      ...held,
      ...Object.fromEntries(names.map((k) => [k, f.value(`in.step${step}.${k}`)])),
      ...scalarsAt('ema', average.at(step + 1)),
    })
    for (const [k, shadow] of f.config.buffer_names)
      near(`shadow of ${k} after ${step}`, held[`ema.shadow.${k}`], f.value(`out.step${step}.shadow.${shadow}`), 2e-6)
    expect(emaDecay(options, step + 1)).toBeCloseTo(f.value('out.effective_decay').data[step] ?? Number.NaN, 12)
  }
})
