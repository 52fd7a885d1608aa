import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { conv2d, freeze, input, mean, mul, parameter, silu, type Tensor, type Window } from '../../declare/index.ts'
import { type Effect, type Errors, effect, failure, showErrors } from '../../error.ts'
import { feedTypes } from '../../graph/graph.ts'
import { float, size } from '../../graph/types.ts'
import { version as packageVersion } from '../../package.ts'
import { E, pipe, RR, T, type Task, TE } from '../../prelude.ts'
import { type Decoded, number, record, text } from '../../schema.ts'
import { grad, optimise } from '../../transform/index.ts'
import type { Found } from '../decide.ts'
import { type Executor, floats } from '../executor.ts'
import { recorded } from '../native/recorded.ts'
import { library } from './load.ts'

/** What a speed is measured of, by the names that people know. */
const subjects = { processor: 'the processor', latentgraph: 'latentgraph', version: 'oneDNN' } as const
/** Milliseconds that a small training step takes with oneDNN and with ONNX Runtime. */
export const speed = record({
  processor: text,
  latentgraph: text,
  version: text,
  onednn: number({ above: 0 }),
  onnx: number({ above: 0 }),
})
export type Speed = Decoded<typeof speed>
type Subjects = Pick<Speed, keyof typeof subjects>
/** The record's name, beside the library's. */
export const speedRecord = 'onednn-speed'

const here: Effect<Subjects> = pipe(
  library,
  TE.map(({ version }) => ({
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    latentgraph: packageVersion(),
    version,
  })),
)
/** The time with oneDNN over that with ONNX Runtime. */
export const ratioOf = ({ onednn, onnx }: Speed): number => onednn / onnx
export const ratioText = (s: Speed): string => `a small training step took ${ratioOf(s).toFixed(2)} of onnx:cpu’s time`

/** Whether it was faster; undefined where that was not measured, as on most machines. */
export const judgeSpeed = (known: Speed | undefined, now: Subjects): Found | undefined => {
  if (known === undefined) return undefined
  const other = RR.keys(subjects).find((of) => known[of] !== now[of])
  return other === undefined
    ? { usable: ratioOf(known) < 1, what: `${ratioText(known)} when doctor measured` }
    : {
        usable: false,
        what: `${subjects[other]} was ${known[other]} when doctor measured: doctor again, for ${now[other]}`,
      }
}
/** What `doctor` wrote down, which alone measures. */
export const lookIfFaster: Task<Found | undefined> = TE.getOrElse(
  (errors: Errors): Task<Found | undefined> => T.of({ usable: false, what: showErrors(errors) }),
)(
  effect(async (run) => {
    const known = await run(recorded(speedRecord, speed, 'latentgraph doctor'))
    return known === undefined ? undefined : judgeSpeed(known, await run(here))
  }),
)

const channels = 64
const same: Window = { stride: [1, 1], padding: [1, 1, 1, 1] }
const step = () => {
  const weight = (name: string): Tensor => parameter('', name, [channels, channels, 3, 3], { kind: 'zeros' })
  const weights = [weight('first'), weight('second')]
  const x = input('x', float(4, channels, 16, 16))
  const y = weights.reduce((z, w) => pipe(z, conv2d(w, same), silu), x)
  const gradients = grad(pipe(y, mul(y), mean()), weights)
  return E.map(optimise)(freeze(Object.fromEntries(gradients.map((g, i) => [`gradient${i}`, g]))))
}

/** Turns of each engine, and steps of a turn: their threads are awake from the second on, as in training. */
const [warmUp, turns, steps] = [2, 12, 3]
/** Until another engine's threads no longer look for work. */
const pauseMs = 20

/** Two engines take turns at a small training step; the least times count, which others' work disturbs least. Errors: `compile`, `run`. */
export const measureSpeed = (onednn: Executor, onnx: Executor): Effect<Speed> =>
  effect(async (run) => {
    const graph = await run(TE.fromEither(step()))
    const feeds = Object.fromEntries(
      Object.entries(feedTypes(graph)).map(([name, { shape }]) => [
        name,
        floats(
          shape,
          Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(i) / 10),
        ),
      ]),
    )
    const least = new Map<Executor, number>()
    const made = []
    for (const executor of [onednn, onnx])
      made.push({ executor, program: await run(executor.compile(graph, { mode: 'training' })) })
    for (let turn = 0; turn < warmUp + turns; turn++)
      for (const { executor, program } of made) {
        await sleep(pauseMs)
        for (let step = 0; step < steps; step++) {
          const started = performance.now()
          await run(program.run(feeds))
          const ms = performance.now() - started
          if (turn >= warmUp) least.set(executor, Math.min(least.get(executor) ?? ms, ms))
        }
      }
    for (const { program } of made) program.dispose()
    const [ours, theirs] = [least.get(onednn), least.get(onnx)]
    if (ours === undefined || theirs === undefined)
      return run(TE.left([failure('run', 'onednn', 'times of two engines', 'none')]))
    return { ...(await run(here)), onednn: ours, onnx: theirs }
  })
