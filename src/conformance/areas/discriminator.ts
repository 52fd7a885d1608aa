import type { Tensor } from '../../declare/index.ts'
import {
  actNorm,
  affineLogDeterminant,
  applyAffine,
  type Buffers,
  discriminator,
  invertAffine,
} from '../../nn/index.ts'
import { flow, pipe, TE } from '../../prelude.ts'
import { flag, integer, record, withDefault, word } from '../../schema.ts'
import type { Case } from '../case.ts'
import { parameterTolerances } from '../formula.ts'
import { type Area, adapter, area, type Prepared } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'

const positive = integer({ min: 1 })
type Outputs = Readonly<Record<string, Tensor>>

/** What a call leaves behind, as the buffers and parameters that a case compares. */
export const leftBehind = (c: Case, buffers: Buffers): Outputs =>
  Object.fromEntries(
    Object.entries(buffers).flatMap(([name, x]) =>
      [`buffer.${name}`, `param.${name}`].flatMap((out) => (`out.${out}` in c.expected ? [[out, x] as const] : [])),
    ),
  )

/** Of a fresh module: its first call while training, and any in evaluation. */
const actNormOutputs = (c: Case): Outputs => {
  const [x, x2, vec] = [given(c, 'x'), optional(c, 'x2'), optional(c, 'vec')]
  const call = (initialize: boolean, of: Tensor) => {
    const { y, buffers } = actNorm('', { initialize })({ y: of, buffers: {} })
    const [loc = y, scale = y, initialized = y] = [buffers.loc, buffers.scale, buffers.initialized]
    return { y, affine: { loc, scale }, initialized, buffers }
  }
  const [first, evaluated] = [call(true, x), call(false, x)]
  const flat = vec === undefined ? undefined : call(true, vec)
  return {
    h: first.y,
    logdet: pipe(x, affineLogDeterminant(first.affine)),
    ...leftBehind(c, first.buffers),
    ...(x2 === undefined
      ? {}
      : { h2: pipe(x2, applyAffine(first.affine)), logdet2: pipe(x2, affineLogDeterminant(first.affine)) }),
    reverse_h: pipe(first.y, invertAffine(first.affine)),
    eval_uninitialised: evaluated.y,
    'eval_uninitialised.initialized': evaluated.initialized,
    ...(flat === undefined ? {} : { vec: flat.y, 'vec.loc': flat.affine.loc, 'vec.scale': flat.affine.scale }),
  }
}

/** Whether a call while training is the first: its ActNorms have not been initialised. */
export const uninitialized = (c: Case): boolean =>
  !Object.entries(c.params).some(([name, { data }]) => name.endsWith('.initialized') && Number(data[0]) !== 0)

const cases = area(
  {
    'util.py ActNorm': adapter(record({}, {}, { num_features: positive, logdet: flag }), (_, c) =>
      graphPlan(c, actNormOutputs(c)),
    ),
    'model.py NLayerDiscriminator': adapter(
      record(
        {},
        {
          input_nc: withDefault(positive, 3),
          ndf: withDefault(positive, 64),
          n_layers: withDefault(positive, 3),
          use_actnorm: withDefault(flag, false),
          mode: withDefault(word(['train', 'eval']), 'train'),
        },
      ),
      ({ ndf, n_layers, use_actnorm, mode }, c) => {
        const config = { channels: ndf, layers: n_layers, norm: use_actnorm ? ('act' as const) : ('batch' as const) }
        const training = mode === 'train'
        const modes = { training, initialize: training && uninitialized(c) }
        const { y, buffers } = discriminator('', config, modes)(given(c, 'x'))
        return graphPlan(c, { logits: y, ...leftBehind(c, buffers) })
      },
    ),
  },
  [
    ...parameterTolerances,
    { tensor: /initialized$|num_batches_tracked$/, measure: 'exact', limit: 0 },
    { tensor: /^out/, measure: 'scaled', limit: 1e-5 },
    { tensor: /^grad/, measure: 'scaled', limit: 2e-5 },
  ],
)

/** Evaluation has small gradients, with the same rounding. */
const inEvaluation = (p: Prepared): Prepared =>
  p.given?.config.mode === 'eval'
    ? { ...p, tolerances: [{ tensor: /^grad/, measure: 'scaled', limit: 1e-4 }, ...p.tolerances] }
    : p

export const discriminatorArea: Area = flow(cases, TE.map(inEvaluation))
