import * as lg from '../../src/browser.ts'
import { pipe, samplers, TE } from '../../src/browser.ts'
import { leaves, samplingGraph, trainingGraph } from './model.ts'
import { fromPatches, patched, toPatches } from './patches.ts'
import { classes, pictureOf } from './shapes.ts'

/** A training, whichever the executor; the page and the test run the same. */
export interface Request {
  readonly steps: number
  readonly seed: number
  readonly batchSize: number
  /** Of the U-Net. */
  readonly levels: number
  /** Samples are drawn each time this many steps are done, and at the end. */
  readonly sampleEvery: number
  /** Pictures drawn of each class. */
  readonly samplesPerClass: number
  /** Of DDIM. */
  readonly samplingSteps: number
}
export interface Listener {
  /** Both graphs are compiled. */
  readonly onReady: (milliseconds: number) => void
  readonly onStep: (step: { readonly done: number; readonly loss: number; readonly milliseconds: number }) => void
  /** Pictures [3, side, side], row after row, a class each row. */
  readonly onSamples: (done: number, pictures: readonly Float32Array[]) => void
}

const batchOf = ({ seed, batchSize }: Request, step: number): lg.Values => {
  const pictures = Array.from({ length: batchSize }, (_, i) => pictureOf(seed, step * batchSize + i))
  const data = new Float32Array(pictures.flatMap((p) => [...toPatches(p.data)]))
  return {
    [leaves.pictures]: lg.floats([batchSize, ...patched], data),
    [leaves.labels]: lg.ints(
      [batchSize],
      Int32Array.from(pictures, (p) => p.label),
    ),
  }
}

/** Of the state of a training, the weights that a graph reads. */
const weightsFor = (graph: lg.Graph, state: lg.Values): lg.Values => {
  const read = lg.feedTypes(graph)
  return Object.fromEntries(Object.entries(state).filter(([name]) => Object.hasOwn(read, name)))
}

const numbersOf = ({ samplesPerClass }: Request): readonly number[] =>
  Array.from({ length: classes.length * samplesPerClass }, (_, i) => i)
const picturesOf = ({ data }: lg.Value, { length }: readonly number[]): readonly Float32Array[] =>
  Array.from({ length }, (_, i) =>
    fromPatches(data.subarray((i * data.length) / length, ((i + 1) * data.length) / length)),
  )

/** What each picture that will be drawn begins with. */
export const noiseOf = (request: Request): readonly Float32Array[] => {
  const numbers = numbersOf(request)
  return picturesOf(samplers.initialNoise(request.seed, numbers, patched), numbers)
}

const samplerOf = (executor: lg.Executor, request: Request) =>
  lg.effect(async (run) => {
    const { seed, samplesPerClass, samplingSteps, levels } = request
    const numbers = numbersOf(request)
    const { graph, plan } = await run(
      TE.fromEither(samplingGraph({ count: numbers.length, steps: samplingSteps, levels })),
    )
    const executable = await run(executor.compile(graph, { mode: 'training' }))
    const labels = lg.ints(
      [numbers.length],
      Int32Array.from(numbers, (i) => Math.floor(i / samplesPerClass)),
    )
    const draw = (state: lg.Values): lg.Effect<readonly Float32Array[]> =>
      pipe(
        samplers.sample({
          graph,
          executable,
          plan,
          from: samplers.initialNoise(seed, numbers, patched),
          noiseOf: samplers.keyedNoise(seed, numbers),
          feeds: { ...weightsFor(graph, state), [leaves.labels]: labels },
        }),
        TE.map(({ x }) => picturesOf(x, numbers)),
      )
    return { draw, dispose: executable.dispose }
  })

/** Trains from the seed on, and tells of each step. */
export const train = (executor: lg.Executor, request: Request, listener: Listener): lg.Effect<void> =>
  lg.effect(async (run) => {
    const { steps, seed, sampleEvery } = request
    const began = performance.now()
    const plan = await run(TE.fromEither(trainingGraph(request)))
    const training = await run(executor.compile(plan.graph, { mode: 'training' }))
    const stepper = await run(training.start(plan.carry, plan.initial(seed)))
    const sampler = await run(samplerOf(executor, request))
    listener.onReady(performance.now() - began)
    for (let step = 0; step < steps; step++) {
      const feeds = { ...batchOf(request, step), ...plan.hostFeeds(step), ...lg.noiseFeeds(plan.graph, seed, step) }
      const from = performance.now()
      const { loss } = await run(stepper.step(feeds))
      const done = step + 1
      listener.onStep({ done, loss: loss?.data[0] ?? Number.NaN, milliseconds: performance.now() - from })
      if (done === steps || done % sampleEvery === 0)
        listener.onSamples(done, await run(sampler.draw(await run(stepper.read))))
    }
    stepper.dispose()
    sampler.dispose()
    training.dispose()
  })
