import { freeze, input } from '../declare/index.ts'
import { type Checked, collect, type Effect, effect, fail } from '../error.ts'
import { type Executor, floats, ints, type Value, type Values } from '../execute/executor.ts'
import { type EncodedPart, positionsOf, textEncoded } from '../experiment/text-encoders.ts'
import type { Graph } from '../graph/graph.ts'
import { int } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { promptIds } from '../text/prompt.ts'
import { usingBaked } from '../train/inference.ts'
import { optimise } from '../transform/index.ts'
import { readied } from './applied.ts'
import { mapValue, type Pipeline, type Request, repeatedRows, type See, zerosOf } from './request.ts'

/** From texts to what the network is told of them. */

/** Of each text: states [N, L, D], and the whole as one vector [N, P] where the model has one. */
export interface Embedded {
  readonly states: Value
  readonly pooled?: Value
}

/** Ids int32[N, L] to states, and to the whole where it is asked for. */
export const textGraph = (part: EncodedPart, n: number, length: number, clipSkip = 0): Checked<Graph> =>
  pipe(freeze({ ...textEncoded('', part, clipSkip)(input('ids', int(n, length))) }), E.map(optimise))

/** Tokens of a text that the k-th encoder takes: as many as its tokenizer fills in and it has positions for. */
export const textLength = ({ document, tokenizers }: Pick<Pipeline, 'document' | 'tokenizers'>, k: number): number => {
  const [part, tokenizer] = [document.conditioning.text[k], tokenizers[k]]
  return Math.min(
    part === undefined ? Number.POSITIVE_INFINITY : positionsOf(part.encoder),
    tokenizer?.positions ?? Number.POSITIVE_INFINITY,
  )
}

const idsOf = (pipeline: Pipeline, k: number, texts: readonly string[]): Checked<Value> => {
  const tokenizer = pipeline.tokenizers[k]
  const part = pipeline.document.conditioning.text[k]
  if (tokenizer === undefined || part === undefined)
    return fail('run', `tokenizer ${k}`, 'a tokenizer for each encoder of texts', 'none')
  const length = textLength(pipeline, k)
  return pipe(
    collect(texts.map((text) => promptIds(tokenizer, text, length))),
    E.map((rows) => ints([texts.length, length], Int32Array.from(rows.flatMap(({ ids }) => ids)))),
  )
}

const lastAxis = (parts: readonly Value[]): Value => {
  const [first] = parts
  if (first === undefined || parts.length === 1) return first ?? zerosOf([0])
  const rows = first.data.length / (first.shape.at(-1) ?? 1)
  const widths = parts.map(({ shape }) => shape.at(-1) ?? 0)
  const all = widths.reduce((a, b) => a + b, 0)
  const data = new Float32Array(rows * all)
  let at = 0
  for (let row = 0; row < rows; row++)
    for (const [k, { data: own }] of parts.entries()) {
      const width = widths[k] ?? 0
      data.set(own.subarray(row * width, (row + 1) * width), at)
      at += width
    }
  return floats([...first.shape.slice(0, -1), all], data)
}

const embed = (
  executor: Executor,
  pipeline: Pipeline,
  texts: (encoder: number) => readonly string[],
  clipSkip: number,
  see: See,
): Effect<Embedded> =>
  effect(async (run) => {
    const found: Values[] = []
    for (const [k, part] of pipeline.document.conditioning.text.entries()) {
      const ids = await run(TE.fromEither(idsOf(pipeline, k, texts(k))))
      see(`ids.${k}`, ids)
      const [n = 0, length = 0] = ids.shape
      const own = await run(TE.fromEither(textGraph(part, n, length, clipSkip)))
      const { graph, baked } = await run(readied(own, `text.${k}`, pipeline))
      found.push(await run(usingBaked(executor, graph, baked, (executable) => executable.run({ ids }))))
    }
    const named = (name: string): readonly Value[] =>
      found.flatMap((values) => (values[name] === undefined ? [] : [values[name]]))
    const [pooled] = named('pooled')
    return { states: lastAxis(named('states')), ...(pooled === undefined ? {} : { pooled }) }
  })

/** What is told, and what stands for nothing where guidance leads away from it. */
export interface EmbeddedTexts {
  readonly given: Embedded
  readonly nothing?: Embedded
}

const eachTimes = (e: Embedded, count: number): Embedded => ({
  states: repeatedRows(e.states, count),
  ...(e.pooled === undefined ? {} : { pooled: repeatedRows(e.pooled, count) }),
})

/** Texts of an option for all prompts, or one for each. Errors (`usage`): other numbers of them. */
export const asMany = (option: string, texts: readonly string[], n: number): Checked<readonly string[]> =>
  texts.length === n || texts.length === 1
    ? E.right(Array.from({ length: n }, (_, i) => texts[texts.length === 1 ? 0 : i] ?? ''))
    : fail('usage', option, `one text, or ${n}, as there are prompts`, `${texts.length}`)

/** Texts of a request, for as many pictures as are drawn. Errors: `usage`, `data`, `file`, `run`. */
export const embeddedTexts = (
  executor: Executor,
  pipeline: Pipeline,
  request: Request,
  guides: boolean,
  see: See,
): Effect<EmbeddedTexts> =>
  effect(async (run) => {
    const prompt = request.prompt ?? ['']
    const { count, clipSkip, negative } = request
    const n = prompt.length
    const texts = (first: readonly string[], second: readonly string[] | undefined) => (k: number) =>
      k > 0 ? (second ?? first) : first
    const second = request.prompt2 && (await run(TE.fromEither(asMany('--prompt', request.prompt2, n))))
    const given = await run(embed(executor, pipeline, texts(prompt, second), clipSkip, see))
    if (!guides) return { given: eachTimes(given, count) }
    if (negative === undefined && pipeline.document.conditioning.zerosForNothing) {
      const zeros = {
        states: mapValue(given.states, () => 0),
        ...(given.pooled === undefined ? {} : { pooled: mapValue(given.pooled, () => 0) }),
      }
      return { given: eachTimes(given, count), nothing: eachTimes(zeros, count) }
    }
    const away = await run(TE.fromEither(asMany('--negative', negative ?? [''], n)))
    const away2 = request.negative2 && (await run(TE.fromEither(asMany('--negative', request.negative2, n))))
    // diffusers leaves layers out of the prompt's encoder alone.
    const nothing = await run(embed(executor, pipeline, texts(away, away2), 0, see))
    return { given: eachTimes(given, count), nothing: eachTimes(nothing, count) }
  })
