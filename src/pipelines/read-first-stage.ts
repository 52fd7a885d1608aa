import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import { importCompVis } from '../experiment/import/compvis.ts'
import { fileEffect } from '../io/bytes.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import type { UnreadArray, UnreadArrays } from '../io/stored.ts'
import { taesdDecoderNames, taesdDecoderOf } from '../nn/autoencoder/taesd-names.ts'
import type { Layout } from '../nn/layout.ts'
import { E, pipe, RR, TE, t } from '../prelude.ts'
import { decode } from '../schema.ts'
import { matched } from './arrays.ts'
import { readJson, withComponent } from './component-files.ts'
import { type Networked, networked } from './document.ts'
import { decoderGraph, latentChannels } from './first-stage.ts'
import { firstStageNetworks } from './networks.ts'
import { firstStageLayout, readFirstStage } from './read-diffusers.ts'
import type { Weights } from './weights.ts'

/** First stages by themselves. */

export interface ReadFirstStage {
  readonly stage: Networked
  readonly weights: Weights
  readonly leftOver: readonly string[]
}

const stageOf = (stage: Networked, layout: Layout, found: UnreadArrays, at: string): Effect<ReadFirstStage> =>
  pipe(
    firstStageNetworks(stage),
    E.flatMap((graph) => matched(graph, layout, found, at)),
    E.map(({ arrays, used }) => {
      const known = new Set(used)
      return { stage, weights: { firstStage: arrays }, leftOver: Object.keys(found).filter((key) => !known.has(key)) }
    }),
    TE.fromEither,
  )

/** A folder of diffusers with a `config.json` and arrays. Errors: `config`, `file`. */
export const withFirstStageFolder = <A>(
  folder: string,
  variant: string | undefined,
  use: (read: ReadFirstStage) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const path = join(folder, 'config.json')
    const stage = await run(TE.fromEither(readFirstStage(await run(readJson(path)), path)))
    return run(
      withComponent(folder, variant, ({ arrays }) =>
        pipe(stageOf(stage, firstStageLayout(stage, Object.keys(arrays)), arrays, folder), TE.flatMap(use)),
      ),
    )
  })

/** A decoder for previews: a folder of diffusers, or the file of TAESD's. Errors: `config`, `file`. */
export const withSmallDecoder = <A>(path: string, use: (read: ReadFirstStage) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const isFolder = await run(
      fileEffect(path, 'a folder of diffusers, or the file of a decoder of TAESD', async () =>
        (await stat(path)).isDirectory(),
      ),
    )
    if (isFolder) return run(withFirstStageFolder(path, undefined, use))
    return run(
      withCheckpointFile(path, {}, ({ arrays }) =>
        pipe(
          taesdDecoderOf(RR.map(({ shape }: UnreadArray) => shape)(arrays), path),
          E.flatMap((network) => decode(networked)({ kind: 'tiny', network })),
          E.bindTo('stage'),
          E.bind('graph', ({ stage }) => decoderGraph(stage, [1, latentChannels(stage), 1, 1])),
          E.bind('found', ({ graph }) => matched(graph, taesdDecoderNames, arrays, path)),
          TE.fromEither,
          TE.flatMap(({ stage, found }) => use({ stage, weights: { firstStage: found.arrays }, leftOver: [] })),
        ),
      ),
    )
  })

/** A checkpoint of CompVis' autoencoders with its configuration as data. Errors: `config`, `file`. */
export const withFirstStageFile = <A>(
  path: string,
  config: unknown,
  use: (read: ReadFirstStage) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    if (!t.UnknownRecord.is(config)) return run(TE.fromEither(fail('config', path, 'a configuration', 'no object')))
    const stage = await run(
      TE.fromEither(
        pipe(
          importCompVis(config),
          E.flatMap(({ autoencoder: network, codebook }) =>
            decode(networked)(
              codebook === undefined ? { kind: 'kl', network } : { kind: 'vq', network, entries: codebook },
            ),
          ),
        ),
      ),
    )
    return run(
      withCheckpointFile(path, {}, ({ arrays }) =>
        pipe(
          stageOf(stage, (name) => ({ key: name }), arrays, path),
          TE.flatMap(use),
        ),
      ),
    )
  })
