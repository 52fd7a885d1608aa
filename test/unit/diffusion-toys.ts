import {
  add,
  cast,
  concat,
  conv2d,
  cos,
  mean,
  mul,
  perItem,
  silu,
  type Tensor,
  tanh,
  unsqueeze,
} from '../../src/declare/index.ts'
import { pipe } from '../../src/prelude.ts'
import type { Fixture } from './diffusion-fixtures.ts'

const window = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
const has = (f: Fixture<unknown>, name: string): boolean => Object.hasOwn(f.arrays, name)
const itemMean = (c: Tensor): Tensor => pipe(c, mean({ axes: c.shape.map((_, i) => i).slice(1) }))

/** The network of the `diffusion` fixtures: conv2(silu(conv1(x) + tproj (t / T) + conditioning)). */
export const convolutions =
  (f: Fixture<unknown>, timesteps: number) =>
  (x: Tensor, t: Tensor): Tensor => {
    const param = (name: string): Tensor => f.leaf(`param.model.diffusion_model.${name}`)
    const conv = (name: string) => (y: Tensor) =>
      pipe(y, conv2d(param(`${name}.weight`), window), add(pipe(param(`${name}.bias`), unsqueeze(1, 2))))
    const given = [
      ...(has(f, 'in.c_crossattn') ? [itemMean(f.leaf('in.c_crossattn'))] : []),
      ...(has(f, 'in.y') ? [pipe(f.leaf('in.y'), mul(0.1))] : []),
    ]
    const hidden = pipe(
      has(f, 'in.c_concat') ? concat(1, x, f.leaf('in.c_concat')) : x,
      conv('conv1'),
      add(pipe(t, cast('float32'), mul(1 / timesteps), perItem(x), mul(param('tproj')))),
    )
    return pipe(
      given.reduce((h, c) => pipe(h, add(pipe(c, perItem(h)))), hidden),
      silu,
      conv('conv2'),
    )
  }

/** The network of the `sampler` fixtures: tanh(x / 2) cos(t / 100) + mean(c) / 10. */
export const waves =
  (condition?: Tensor) =>
  (x: Tensor, t: Tensor): Tensor => {
    const wave = pipe(x, mul(0.5), tanh, mul(pipe(t, cast('float32'), mul(0.01), cos, perItem(x))))
    return condition === undefined ? wave : pipe(wave, add(pipe(itemMean(condition), mul(0.1), perItem(x))))
  }
