import type { Dataset } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import { type Executor, floats, type Value, type Values } from '../execute/executor.ts'
import { type LatentDiffusion, learntAheadProgram } from '../experiment/diffusion-stage.ts'
import { outputTypes } from '../graph/graph.ts'
import { size } from '../graph/types.ts'
import { scratch } from '../io/scratch.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { TextReader } from '../text/prompt.ts'
import { joined } from './inference.ts'
import { tokenRows } from './texts.ts'
import { ahead, feedsOf } from './told.ts'

/** What is told of pictures' captions, each of which was encoded once. */
export interface ToldAhead {
  readonly read: (indices: ArrayLike<number>) => Effect<Values>
  readonly close: Effect<void>
}

/** Captions at a time. */
const most = 32

/** Encodes the captions of pictures, where training is told what comes of them; on the disk, in a file of no name. Errors: `run`, `file`. */
export const encodeCaptions = (
  executor: Executor,
  m: LatentDiffusion,
  state: Values,
  {
    tokens,
    data,
    dir,
  }: { readonly tokens: TextReader; readonly data: Pick<Dataset, 'n' | 'about'>; readonly dir: string },
): Effect<ToldAhead> =>
  effect(async (run) => {
    const captions = Array.from({ length: data.n }, (_, i) => data.about(i).caption ?? '')
    const each = [...new Set(captions)]
    const places = new Map(each.map((caption, i) => [caption, i]))
    // Of two at least, so that what is told of one is known from what is told of all.
    const count = Math.max(2, Math.min(most, each.length))
    const built = learntAheadProgram(m, count)
    if (built === undefined) return { read: () => TE.right({}), close: TE.right(undefined) }
    const graph = await run(TE.fromEither(built))
    const types = Object.entries(outputTypes(graph))
    const rows = types.flatMap(([name, { shape }]) => (shape[0] === count ? [{ name, shape: shape.slice(1) }] : []))
    const file = await run(
      scratch(
        dir,
        rows.reduce((n, { shape }) => n + size(shape), 0),
      ),
    )
    let shared: Values = {}
    const batches = Array.from({ length: Math.ceil(each.length / count) }, (_, b) =>
      feedsOf(
        m,
        {
          labels: new Int32Array(count),
          tokens: tokenRows(
            tokens,
            Array.from({ length: count }, (_caption, i) => each[b * count + i] ?? ''),
          ),
        },
        1,
      ),
    )
    const take = (made: Values, b: number): Effect<void> => {
      shared = Object.fromEntries(Object.entries(made).filter(([name]) => !rows.some((row) => row.name === name)))
      const n = Math.min(count, each.length - b * count)
      const parts = Array.from({ length: n }, (_, i) =>
        rows.map(({ name, shape }) =>
          Float32Array.from(made[name]?.data.subarray(i * size(shape), (i + 1) * size(shape)) ?? []),
        ),
      )
      return file.append(joined(parts.flat()))
    }
    const encoded = await ahead(executor, graph, state, batches, take)()
    if (E.isLeft(encoded)) await run(file.close)
    await run(TE.fromEither(encoded))
    return {
      close: file.close,
      read: (indices) =>
        pipe(
          file.read(Int32Array.from(indices, (i) => places.get(captions[i] ?? '') ?? 0)),
          TE.map((all) => {
            const width = all.length / indices.length
            const from = rows.map((_, k) => rows.slice(0, k).reduce((n, { shape }) => n + size(shape), 0))
            const told = rows.map(({ name, shape }, k): readonly [string, Value] => [
              name,
              floats(
                [indices.length, ...shape],
                joined(
                  Array.from({ length: indices.length }, (_, i) =>
                    all.subarray(i * width + (from[k] ?? 0), i * width + (from[k] ?? 0) + size(shape)),
                  ),
                ),
              ),
            ])
            return { ...shared, ...Object.fromEntries(told) }
          }),
        ),
    }
  })
