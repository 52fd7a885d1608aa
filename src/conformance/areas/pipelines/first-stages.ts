import { join } from 'node:path'
import { freeze, input, reshape, type Tensor } from '../../../declare/index.ts'
import { type Effect, effect, fail } from '../../../error.ts'
import { type Executor, ints, type Value, type Values } from '../../../execute/executor.ts'
import { float } from '../../../graph/types.ts'
import type { StoredArrays } from '../../../io/stored.ts'
import { tinyScaled } from '../../../nn/autoencoder/tiny.ts'
import { vectorQuantizer } from '../../../nn/quantize.ts'
import type { Networked } from '../../../pipelines/document.ts'
import { decoder, encoder, latentsOf, scaledLatents } from '../../../pipelines/first-stage.ts'
import { readYaml } from '../../../pipelines/read.ts'
import { type ReadFirstStage, withFirstStageFile, withFirstStageFolder } from '../../../pipelines/read-first-stage.ts'
import { mapValue } from '../../../pipelines/request.ts'
import { weightsOf } from '../../../pipelines/weights.ts'
import { E, pipe, TE } from '../../../prelude.ts'
import { optimise } from '../../../transform/index.ts'
import { runOnce } from '../../run.ts'
import { inputsOf, isJson, isText, listIn, type PipelineCase, present, textIn } from './case.ts'

/** First stages alone. */

const computed = (
  executor: Executor,
  read: ReadFirstStage,
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Values,
): Effect<Values> =>
  effect(async (run) => {
    const graph = await run(TE.fromEither(pipe(freeze(outputs), E.map(optimise))))
    const constants = await run(weightsOf(graph, 'firstStage', read.weights))
    return run(pipe(executor.compile(graph, { mode: 'sampling', constants }), TE.flatMap(runOnce(feeds))))
  })
const leaf = (name: string, value: Value): Tensor => input(name, float(...value.shape))
const missing = (name: string): Effect<never> => TE.fromEither(fail('data', name, 'an input of the case', 'none'))

/** What is left over of a checkpoint: for each key that should be whether it is, and how many there are. */
const leftOver = (expected: readonly string[], found: readonly string[]): Value =>
  ints([expected.length + 1], Int32Array.from([...expected.map((key) => Number(found.includes(key))), found.length]))

const quantised = (executor: Executor, c: PipelineCase, read: ReadFirstStage): Effect<Values> => {
  const { stage } = read
  const found = inputsOf(c, '').picture
  if (found === undefined || stage.kind !== 'vq') return missing('in.picture')
  const z = encoder(stage)(leaf('picture', found))
  const { y, codes, loss } = vectorQuantizer('quantize', {
    entries: stage.entries,
    dim: stage.network.latentChannels,
    beta: 0.25,
    weighs: 'legacyBeta',
  })(z)
  const flat = codes.shape.reduce((a, b) => a * b, 1)
  return pipe(
    computed(
      executor,
      read,
      {
        'out.pre_quant': z,
        'out.quant': y,
        'out.indices': pipe(codes, reshape(flat)),
        'out.emb_loss': loss,
        'out.reconstruction': decoder(stage)(y),
      },
      { picture: found },
    ),
    TE.map(
      (values): Values => ({
        ...values,
        'out.left_over': leftOver(listIn(c.document, 'left_over_keys', isText) ?? [], read.leftOver),
      }),
    ),
  )
}
/** A checkpoint of CompVis with a first stage alone. */
export const firstStageRuns = (c: PipelineCase, executor: Executor): Effect<Values> =>
  effect(async (run) => {
    const yaml = await run(readYaml(join(c.folder, textIn(c.document, 'config') ?? '')))
    return run(
      withFirstStageFile(join(c.folder, textIn(c.document, 'checkpoint') ?? ''), yaml, (read) =>
        quantised(executor, c, read),
      ),
    )
  })
export const firstStageExpectations = (c: PipelineCase): StoredArrays => {
  const keys = listIn(c.document, 'left_over_keys', isText) ?? []
  return {
    'out.left_over': {
      dtype: 'int32',
      shape: [keys.length + 1],
      data: Int32Array.from([...keys.map(() => 1), keys.length]),
    },
  }
}

type Row = (executor: Executor, read: ReadFirstStage, inputs: Values) => Effect<Values>
const rows: { readonly [K in Networked['kind']]: Row } = {
  kl: (executor, read, { picture, noise }) =>
    effect(async (run) => {
      const { stage } = read
      if (picture === undefined || noise === undefined) return run(missing('in.picture, in.noise'))
      const { moments } = await run(
        computed(executor, read, { moments: encoder(stage)(leaf('picture', picture)) }, { picture }),
      )
      if (moments === undefined) return run(missing('moments'))
      const [mode, sample] = [latentsOf(stage, moments, undefined), latentsOf(stage, moments, noise)]
      const latents = scaledLatents(stage, sample)
      const decoded = (z: Value) => computed(executor, read, { decoded: decoder(stage)(leaf('z', z)) }, { z })
      const raw = mapValue(latents, (x) => x / stage.scale + stage.shift)
      const [plain, scaled] = [await run(decoded(mode)), await run(decoded(raw))]
      return present({ moments, mode, sample, latents, decoded_mode: plain.decoded, decoded: scaled.decoded })
    }),
  tiny: (executor, read, { picture }) => {
    const { stage } = read
    if (picture === undefined || stage.kind !== 'tiny') return missing('in.picture')
    const latents = encoder(stage)(leaf('picture', picture))
    return computed(
      executor,
      read,
      { latents, scaled: tinyScaled(stage.network)(latents), decoded: decoder(stage)(latents) },
      { picture },
    )
  },
  vq: () => TE.fromEither(fail('data', 'kind', 'kl | tiny', 'vq')),
}

/** Components of diffusers with a first stage alone. */
export const vaeRuns = (c: PipelineCase, executor: Executor): Effect<Values> => {
  const models = isJson(c.document.models) ? c.document.models : {}
  return pipe(
    Object.entries(models),
    TE.traverseSeqArray(([name, model]) => {
      const found = isJson(model) ? model : {}
      return pipe(
        withFirstStageFolder(join(c.folder, textIn(found, 'path') ?? ''), textIn(found, 'variant'), (read) =>
          rows[read.stage.kind](executor, read, inputsOf(c, name)),
        ),
        TE.map(
          (values): Values =>
            Object.fromEntries(Object.entries(values).map(([key, value]) => [`${name}/out.${key}`, value])),
        ),
      )
    }),
    TE.map((all): Values => Object.assign({}, ...all)),
  )
}
