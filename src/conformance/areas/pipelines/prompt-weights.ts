import { type Effect, effect } from '../../../error.ts'
import { type Executor, floats, ints, type Value, type Values } from '../../../execute/executor.ts'
import type { StoredArrays } from '../../../io/stored.ts'
import { withPublished } from '../../../pipelines/read.ts'
import type { Pipeline } from '../../../pipelines/request.ts'
import { weightedTextsOf } from '../../../pipelines/weighted.ts'
import { E, pipe, TE, t } from '../../../prelude.ts'
import { weightedTexts } from '../../../text/weights.ts'
import { heeded, numberIn, type PipelineCase, type Run, textIn, watching } from './case.ts'
import { whereOf } from './diffusers.ts'

/** Weights on words: what is parsed, ids, weights, embeddings. */

const Parsed = t.type({ text: t.string, pieces: t.array(t.tuple([t.string, t.number])) })
const parsedOf = ({ document }: PipelineCase) => (Array.isArray(document.parse) ? document.parse.filter(Parsed.is) : [])

/** Pieces as numbers: for each its characters, and its weight. */
const shown = (pieces: readonly (readonly [string, number])[]): Value => {
  const all = pieces.flatMap(([text, weight]) => [
    text.length,
    ...Array.from(text, (c) => c.codePointAt(0) ?? 0),
    weight,
  ])
  return floats([all.length], Float64Array.from(all))
}

export const weightExpectations = (c: PipelineCase): StoredArrays =>
  Object.fromEntries(
    parsedOf(c).map(({ pieces }, i) => {
      const { shape, data } = shown(pieces)
      return [`out.parse.${i}`, { dtype: 'float64' as const, shape, data: Float64Array.from(data) }]
    }),
  )

const known = ['name', 'prompt', 'negative', 'no_boseos_middle', 'clip_skip', 'f64_maxdiff', 'note', 'seed']

const runOf = (executor: Executor, pipeline: Pipeline, c: PipelineCase, given: Run): Effect<Values> =>
  effect(async (run) => {
    await run(TE.fromEither(heeded(`${c.file.file}: ${given.name}`, given, known)))
    const texts = [textIn(given, 'prompt') ?? '', textIn(given, 'negative') ?? '']
    const seen = watching()
    const found = await run(
      weightedTextsOf(
        executor,
        pipeline,
        texts,
        { clipSkip: numberIn(given, 'clip_skip', 0), innerEnds: given.no_boseos_middle !== true },
        seen.see,
      ),
    )
    const [width = 0] = found.weights.map((row) => row.length)
    const [length = 0] = found.ids.map((row) => row.length)
    const [embeds, negative] = found.states
    return {
      [`${given.name}/out.ids`]: ints([texts.length, length], Int32Array.from(found.ids.flat())),
      [`${given.name}/out.weights`]: floats([texts.length, width], Float64Array.from(found.weights.flat())),
      ...(embeds === undefined ? {} : { [`${given.name}/out.embeds`]: embeds }),
      ...(negative === undefined ? {} : { [`${given.name}/out.embeds_negative`]: negative }),
    }
  })

export const weightRuns = (c: PipelineCase, executor: Executor): Effect<Values> =>
  withPublished(whereOf(c, c.document.model), (pipeline) =>
    effect(async (run) => {
      const all = await run(
        pipe(
          c.runs,
          TE.traverseSeqArray((given) => runOf(executor, pipeline, c, given)),
        ),
      )
      const parsed = await run(
        TE.fromEither(
          pipe(
            parsedOf(c),
            E.traverseArray(({ text }) => weightedTexts(text)),
          ),
        ),
      )
      return Object.assign(
        {},
        ...all,
        ...parsed.map((pieces, i) => ({ [`out.parse.${i}`]: shown(pieces.map(({ text, weight }) => [text, weight])) })),
      )
    }),
  )
