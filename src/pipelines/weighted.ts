import { type Effect, effect, fail } from '../error.ts'
import { type Executor, floats, ints, type Value } from '../execute/executor.ts'
import { TE } from '../prelude.ts'
import { type WeightedOptions, type WeightedPrompt, weightedPrompts } from '../text/weights.ts'
import { usingBaked } from '../train/inference.ts'
import { readied } from './applied.ts'
import { type Pipeline, type Request, repeatedRows, type See, stacked } from './request.ts'
import { asMany, type EmbeddedTexts, textGraph } from './texts.ts'

/** Texts with weights on words, of any length: chunks are encoded by themselves, and stand behind each other. */

export interface WeightedStates {
  readonly ids: readonly (readonly number[])[]
  readonly weights: readonly (readonly number[])[]
  /** Of each text [1, positions, D]. */
  readonly states: readonly Value[]
}

export interface WeightingOptions extends WeightedOptions {
  readonly clipSkip: number
}

const mean = (xs: Float32Array | readonly number[]): number => {
  let sum = 0
  for (const x of xs) sum += x
  return sum / xs.length
}

/** Positions that chunk `i` of so many gives: without its ends inside a prompt, where these are left out. */
const kept = (i: number, count: number, length: number, innerEnds: boolean): readonly [from: number, to: number] =>
  innerEnds || count === 1 ? [0, length] : [i === 0 ? 0 : 1, i === count - 1 ? length : length - 1]

/** States of chunks [chunks, L, D] in one row, each position times its weight, and all so that their mean stays as it was. */
const weighed = (states: Value, { weights }: WeightedPrompt, innerEnds: boolean): Value => {
  const [count = 0, length = 0, width = 0] = states.shape
  const rows = Array.from({ length: count }, (_, i) => {
    const [from, to] = kept(i, count, length, innerEnds)
    return Float32Array.from(states.data.subarray((i * length + from) * width, (i * length + to) * width))
  })
  const plain = new Float32Array(rows.reduce((n, row) => n + row.length, 0))
  rows.reduce((at, row) => {
    plain.set(row, at)
    return at + row.length
  }, 0)
  const multiplied = plain.map((x, i) => x * (weights[Math.floor(i / width)] ?? 1))
  const back = mean(plain) / mean(multiplied)
  return floats(
    [1, plain.length / width, width],
    weights.every((w) => w === 1) ? plain : multiplied.map((x) => x * back),
  )
}

/**
 * Texts that belong together, each with its weights, in equally many chunks. Errors: `usage`, a model whose texts have no weights;
 * `data`, weights that are no numbers.
 */
export const weightedTextsOf = (
  executor: Executor,
  pipeline: Pipeline,
  texts: readonly string[],
  { clipSkip, innerEnds = true, ...options }: WeightingOptions,
  see: See,
): Effect<WeightedStates> =>
  effect(async (run) => {
    const { text } = pipeline.document.conditioning
    const [part] = text
    const [tokenizer] = pipeline.tokenizers
    if (part === undefined || tokenizer === undefined || text.length > 1)
      return run(
        TE.fromEither(fail('usage', '--weigh', 'a model with one encoder of texts', `one with ${text.length}`)),
      )
    const prompts = await run(TE.fromEither(weightedPrompts(tokenizer, texts, { innerEnds, ...options })))
    const states: Value[] = []
    for (const prompt of prompts) {
      const [length = 0] = prompt.chunks.map((chunk) => chunk.length)
      const ids = ints([prompt.chunks.length, length], Int32Array.from(prompt.chunks.flat()))
      see('ids.0', ids)
      const own = await run(TE.fromEither(textGraph(part, prompt.chunks.length, length, clipSkip)))
      const { graph, baked } = await run(readied(own, 'text.0', pipeline))
      const found = await run(usingBaked(executor, graph, baked, (executable) => executable.run({ ids })))
      if (found.states !== undefined) states.push(weighed(found.states, prompt, innerEnds))
    }
    return { ids: prompts.map(({ ids }) => ids), weights: prompts.map(({ weights }) => weights), states }
  })

/** Texts of a request with weights on their words. Errors: `usage`, `data`, `file`, `run`. */
export const weighedTexts = (
  executor: Executor,
  pipeline: Pipeline,
  request: Request,
  guides: boolean,
  see: See,
): Effect<EmbeddedTexts> =>
  effect(async (run) => {
    const { prompt = [''], negative, clipSkip, count } = request
    const away = await run(TE.fromEither(asMany('--negative', negative ?? [''], prompt.length)))
    const texts = guides ? [...prompt, ...away] : prompt
    const { states } = await run(weightedTextsOf(executor, pipeline, texts, { clipSkip }, see))
    const of = (from: number) => ({ states: repeatedRows(stacked(states.slice(from, from + prompt.length)), count) })
    return guides ? { given: of(0), nothing: of(prompt.length) } : { given: of(0) }
  })
