import { type Checked, type Effect, effect } from '../error.ts'
import type { Executable, Executor, Value, Values } from '../execute/executor.ts'
import type { Training } from '../experiment/document.ts'
import { refusing, unless } from '../experiment/problems.ts'
import { validated } from '../experiment/validation.ts'
import { feedTypes, type Graph, outputTypes, parameters } from '../graph/graph.ts'
import { ssims } from '../metrics/ssim.ts'
import { E, type IO, pipe, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Metrics } from './events.ts'
import { type Items, psnrs } from './inference.ts'
import { noiseFeeds } from './state.ts'

/** What a stage makes of pictures that it is not trained on. */
export interface HeldOut {
  readonly n: number
  /** At a time. */
  readonly batch: number
  readonly seed: number
  /** For so many pictures: numbers, each a mean over them, and where there are any `reconstructions`. */
  readonly graph: ValidationGraph
  /** Of some pictures, by their numbers. */
  readonly feeds: (pictures: readonly number[]) => Effect<Values>
  /** The pictures themselves among the feeds, which reconstructions are compared with. */
  readonly pixels?: string
  /** Weights that never change: baked in, and such as are fed. */
  readonly constants?: Values
  readonly frozen?: Values
}

/** Held-out pictures before and after steps of training, compiled once. */
export interface Measuring {
  /** Of a state: `val/loss`, and `val/loss_ema` of the averaged weights. */
  readonly measure: (state: Values) => Effect<Metrics>
  readonly dispose: IO<void>
}

/** What held-out pictures are asked, so many at a time. */
export type ValidationGraph = (count: number) => Checked<Graph>

/** Noise of no step of a training: it is the same for a picture at each validation. */
const step = 2 ** 52

/** Outputs beside the numbers. */
export const reconstructed = 'reconstructions'
const compared = ['psnr', 'ssim'] as const

/** What is measured by a graph. */
const measuredBy = (graph: Graph): readonly string[] =>
  Object.keys(outputTypes(graph)).flatMap((name) => (name === reconstructed ? compared : [name]))

/** A stage's validation: where there is one, it measures what is monitored. Errors: `shape`; `config`, another metric. */
export const monitorable = (
  at: string,
  { validate, emaDecay }: Training,
  graph: ValidationGraph,
): Checked<ValidationGraph> => {
  if (validate === undefined) return E.right(graph)
  const metric = validate.monitor?.metric
  return pipe(
    graph(1),
    E.flatMap((one) => {
      const known = measuredBy(one).flatMap((name) => [
        validated(name),
        ...(emaDecay === undefined ? [] : [validated(name, true)]),
      ])
      return refusing(
        unless(
          metric === undefined || known.includes(metric),
          `${at}/training/validate/monitor/metric`,
          known.map((name) => `"${name}"`).join(' | '),
          metric,
          known.includes(validated(metric ?? ''))
            ? `did you mean "${validated(metric ?? '')}"?`
            : didYouMean(metric ?? '', known),
        ),
      )
    }),
    E.map(() => graph),
  )
}

/** A state's weights as they are, or the averaged ones where there are any. */
const weightsOf = (g: Graph, state: Values, averaged: boolean): Values =>
  Object.fromEntries(
    parameters(g).flatMap(({ name, shape }) => {
      const found = (averaged ? state[`ema.shadow.${name}`] : undefined) ?? state[name]
      return found === undefined ? [] : [[name, { ...found, shape }] as const]
    }),
  )

const itemsOf = ({ shape: [n = 0, ...shape], data }: Value): Items => ({ n, shape, data: Float32Array.from(data) })

/** The numbers of a batch, with what comparing pictures adds. */
const numbersOf = (outputs: Values, inputs: Value | undefined): Metrics => {
  const { [reconstructed]: made, ...numbers } = outputs
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
  return {
    ...Object.fromEntries(Object.entries(numbers).map(([name, { data }]) => [name, data[0] ?? Number.NaN])),
    ...(made === undefined || inputs === undefined
      ? {}
      : { psnr: sum(psnrs(itemsOf(inputs), itemsOf(made))), ssim: sum(ssims(itemsOf(inputs), itemsOf(made))) }),
  }
}

interface Program {
  readonly graph: Graph
  readonly executable: Executable
  /** What is fed. */
  readonly wanted: readonly string[]
}

/**
 * Measures states on held-out pictures: means over batches of numbers, weighed by the pictures of each. Noise is drawn by fixed keys,
 * one a picture. Errors: those of the executor and of the pictures.
 */
export const measuring = (executor: Executor, heldOut: HeldOut): Measuring => {
  const { n, batch, seed, graph, feeds, pixels, constants = {}, frozen = {} } = heldOut
  const compiled = new Map<number, Program>()
  const programOf = (count: number): Effect<Program> =>
    effect(async (run) => {
      const known = compiled.get(count)
      if (known !== undefined) return known
      const built = await run(TE.fromEither(graph(count)))
      const wanted = feedTypes(built)
      const baked = Object.fromEntries(Object.entries(constants).filter(([name]) => name in wanted))
      const executable = await run(executor.compile(built, { mode: 'training', constants: baked }))
      const program = { graph: built, executable, wanted: Object.keys(wanted).filter((name) => !(name in baked)) }
      compiled.set(count, program)
      return program
    })
  const measureWith = (state: Values, averaged: boolean): Effect<Metrics> =>
    effect(async (run) => {
      const sums = new Map<string, number>()
      for (let from = 0; from < n; from += batch) {
        const count = Math.min(batch, n - from)
        const program = await run(programOf(count))
        const given = await run(feeds(Array.from({ length: count }, (_, i) => from + i)))
        const known: Values = {
          ...weightsOf(program.graph, { ...frozen, ...state }, averaged),
          ...given,
          ...noiseFeeds(program.graph, seed, step, { from, batch: count }),
        }
        const fed = Object.fromEntries(Object.entries(known).filter(([name]) => program.wanted.includes(name)))
        const outputs = await run(program.executable.run(fed))
        const inputs = pixels === undefined ? undefined : given[pixels]
        for (const [name, value] of Object.entries(numbersOf(outputs, inputs)))
          sums.set(name, (sums.get(name) ?? 0) + value * count)
      }
      return Object.fromEntries([...sums].map(([name, sum]) => [validated(name, averaged), sum / n]))
    })
  return {
    measure: (state) =>
      effect(async (run) => {
        const raw = await run(measureWith(state, false))
        const averaged = Object.keys(state).some((name) => name.startsWith('ema.shadow.'))
        return averaged ? { ...raw, ...(await run(measureWith(state, true))) } : raw
      }),
    dispose: () => {
      for (const { executable } of compiled.values()) executable.dispose()
      compiled.clear()
    },
  }
}

/** So many of `n` pictures, spread evenly over them. */
export const spread = (n: number, most: number): readonly number[] => {
  const count = Math.min(n, most)
  return Array.from({ length: count }, (_, i) => Math.floor((i * n) / count))
}
