import { type Checked, collect } from '../error.ts'
import type { UnwrittenArrays } from '../io/safetensors-writer.ts'
import { unwritten } from '../io/safetensors-writer.ts'
import type { StoredArrays, UnreadArrays } from '../io/stored.ts'
import type { Layout } from '../nn/layout.ts'
import { clipOwnNames, openClipNames } from '../nn/text/clip-names.ts'
import { E, pipe, RR, TE } from '../prelude.ts'
import {
  type ConditioningPart,
  type OriginalProcess,
  originalDocument,
  originalPrefixes,
} from '../published/compvis/index.ts'
import { compVisBuffers, noiseScheduleFromCompVis } from '../schedulers/compvis.ts'
import { noiseSchedule } from '../schedulers/noise-schedule.ts'
import { behind } from './arrays.ts'
import { asOriginal } from './as-original.ts'
import type { PipelineDocument, TextPart } from './document.ts'
import { encoded } from './read-single-file.ts'
import type { Pipeline } from './request.ts'
import type { Component } from './weights.ts'
import { writtenIn } from './written-arrays.ts'

/** A published model as one file in the original's names, with the configuration that declares it. */

type Model = Pick<Pipeline, 'document' | 'weights'>

export interface AsCompVis {
  /** In YAML beside the file. */
  readonly config: Readonly<Record<string, unknown>>
  readonly arrays: UnwrittenArrays
  /** What had no place, for people. */
  readonly remarks: readonly string[]
}

const floats = (shape: readonly number[], data: Float32Array): StoredArrays[string] => ({
  dtype: 'float32',
  shape,
  data,
})

/** The columns that CompVis' `DDPM` keeps in its checkpoints; those of a checkpoint that had others win, in 16 bits as they were. */
const buffers = (process: OriginalProcess, alphas: readonly number[] | null): Checked<UnwrittenArrays> =>
  pipe(
    noiseScheduleFromCompVis(process),
    E.flatMap(noiseSchedule),
    E.map((made) => ({
      ...pipe(
        compVisBuffers,
        RR.map((column) => made[column]),
      ),
      ...(alphas === null ? {} : { alphas_cumprod: alphas, alphas_cumprod_prev: [1, ...alphas.slice(0, -1)] }),
    })),
    E.map(RR.map((column) => floats([column.length], Float32Array.from(column)))),
    E.map((columns) =>
      unwritten({
        ...columns,
        ...(process.scaleByStd ? { scale_factor: floats([], Float32Array.of(process.scaleFactor)) } : {}),
      }),
    ),
    E.map(RR.map((column) => (alphas === null ? column : { ...column, dtype: 'float16' as const }))),
  )

const isPacked = ({ encoder }: ConditioningPart): boolean => encoder.kind === 'open-clip'

/** Where an encoder's arrays stand. */
const textLayout = (part: ConditioningPart, { encoder }: TextPart): Layout =>
  encoder.kind === 'clip' && isPacked(part)
    ? behind(`${part.prefix}model.`, openClipNames(encoder.config))
    : behind(part.prefix, clipOwnNames)

/** The numbers of positions, which transformers kept among its weights. */
const positionIds = (part: ConditioningPart, { encoder }: TextPart): StoredArrays => {
  if (encoder.kind !== 'clip' || isPacked(part)) return {}
  const { positions } = encoder.config
  return {
    [`${part.prefix}transformer.text_model.embeddings.position_ids`]: {
      dtype: 'int64',
      shape: [1, positions],
      data: BigInt64Array.from({ length: positions }, (_, i) => BigInt(i)),
    },
  }
}

/** A layer of zeros behind the last: OpenCLIP has one more than is read. */
const layerBeyond = (layout: Layout, { encoder }: TextPart, found: UnreadArrays): Checked<UnwrittenArrays> => {
  if (encoder.kind !== 'clip') return E.right({})
  const at = (layer: number): string => `transformer.text_model.encoder.layers.${layer}.`
  const last = at(encoder.config.layers - 1)
  return pipe(
    writtenIn(
      layout,
      Object.fromEntries(
        Object.entries(found).flatMap(([name, array]) =>
          name.startsWith(last) ? [[at(encoder.config.layers) + name.slice(last.length), array] as const] : [],
        ),
      ),
    ),
    E.map(
      RR.map(({ dtype, shape }) => ({
        dtype,
        shape,
        read: TE.right(floats(shape, new Float32Array(shape.reduce((n, d) => n * d, 1)))),
      })),
    ),
  )
}

interface TextFiles {
  readonly arrays: UnwrittenArrays
  readonly remarks: readonly string[]
}
const textArrays = (
  part: ConditioningPart,
  text: TextPart,
  found: UnreadArrays,
  { beyond, half }: { readonly beyond: boolean; readonly half: boolean },
): Checked<TextFiles> => {
  const layout = textLayout(part, text)
  return pipe(
    collect([writtenIn(layout, found, half), ...(beyond ? [layerBeyond(layout, text, found)] : [])]),
    E.map((all) => ({
      arrays: Object.assign({}, ...all, unwritten(positionIds(part, text))),
      remarks: beyond
        ? [`the layer behind the last of ${part.prefix}model, which nothing reads, is zeros: the model came without it`]
        : [],
    })),
  )
}

const samplingRemarks = ({ sampling }: PipelineDocument): readonly string[] =>
  sampling.by === 'compvis'
    ? []
    : [
        `${sampling.scheduler} has no place in the configuration: what reads it samples by its own samplers`,
        ...(sampling.config.rescale_betas_zero_snr
          ? ['rescale_betas_zero_snr has no place either: levels are those of the betas']
          : []),
      ]

/** Errors: `config`, what the original code has no place for; `file`, arrays without one. */
export const asCompVis = ({ document, weights }: Model, half = false): Checked<AsCompVis> =>
  pipe(
    asOriginal(document),
    E.flatMap(({ model, beyond }) => {
      const { text } = document.conditioning
      const { sampling } = document
      const xl = model.target.startsWith('sgm.')
      const ofComponent = (component: Component, prefix: string): Checked<TextFiles> =>
        pipe(
          writtenIn(behind(prefix), weights[component] ?? {}, half),
          E.map((arrays) => ({ arrays, remarks: [] })),
        )
      const kept = pipe(
        xl ? E.right({}) : buffers(model.process, sampling.by === 'compvis' ? sampling.alphasCumprod : null),
        E.map((arrays) => ({ arrays, remarks: samplingRemarks(document) })),
      )
      return pipe(
        E.Do,
        E.bind('config', () => originalDocument(model)),
        E.bind('parts', () =>
          collect([
            kept,
            ofComponent('unet', originalPrefixes.unet),
            ofComponent('firstStage', originalPrefixes.firstStage),
            // The same arrays a second time: the condition's encoder is the first stage itself.
            ...(model.conditioning.some(({ encoder }) => encoder.kind === 'first-stage')
              ? [ofComponent('firstStage', originalPrefixes.conditioning)]
              : []),
            ...encoded
              .filter((name) => Object.hasOwn(weights, name))
              .map((name) => ofComponent(name, originalPrefixes.conditioning)),
            ...text.map((own, k) => {
              const part = model.conditioning[k]
              return part === undefined
                ? E.right({ arrays: {}, remarks: [] })
                : textArrays(part, own, weights[`text.${k}`] ?? {}, { beyond: beyond[k] === true, half })
            }),
          ]),
        ),
        E.map(({ config, parts }) => ({
          config,
          arrays: Object.assign({}, ...parts.map(({ arrays }) => arrays)),
          remarks: parts.flatMap(({ remarks }) => remarks),
        })),
      )
    }),
  )
