/** A diffusion model of six spots on a circle, from its declaration to samples: `node dist/examples/tiny-diffusion.js` */
import * as lg from 'latentgraph'
import { E, pipe, samplers, TE } from 'latentgraph'

const [items, steps, timesteps, seed] = [128, 1000, 50, 1]

/** The data, as an expression of noise: one of six angles, and a little spread. */
const angle = pipe(lg.noise('spot', [items, 1], 'uniform'), lg.mul(6), lg.floor, lg.mul(Math.PI / 3))
const x0 = pipe(lg.concat(1, lg.cos(angle), lg.sin(angle)), lg.add(pipe(lg.noise('spread', [items, 2]), lg.mul(0.05))))
const t = pipe(lg.noise('t', [items], 'uniform'), lg.mul(timesteps), lg.floor, lg.cast('int32'))

/** Any function of x_t and t is a denoiser; this one predicts v. */
const hidden = (name: string) => lg.flow(lg.nn.linear(name, { out: 64 }), lg.silu)
const network = lg.diffusion.denoiser('v', (xt, at) => {
  const told = lg.concat(1, xt, lg.nn.timestepEmbedding(16)(at))
  return pipe(told, hidden('0'), hidden('1'), hidden('2'), lg.nn.linear('out', { out: 2 }))
})

/** Randomness is an input: every leaf is filled from the seed, its name and the step. */
const optimizer = { kind: 'adam', betas: [0.9, 0.99] } as const
const learningRate = { kind: 'warm-up-cosine', rate: 1e-2, warmUp: 20 } as const

const program = lg.effect(async (run) => {
  const { executor } = await run(lg.auto)
  const schedule = await run(TE.fromEither(lg.noiseSchedules.noiseSchedule({ kind: 'cosine', timesteps })))
  const loss = lg.diffusion.ddpmLoss(schedule)(network, { x0, t, eps: lg.noise('eps', [items, 2]) })

  const step = await run(TE.fromEither(lg.trainingStep(loss, { steps, optimizer, learningRate })))
  const training = await run(executor.compile(step.graph, { mode: 'training' }))
  const stepper = await run(training.start(step.carry, step.initial(seed)))
  for (let i = 0; i < steps; i++) {
    const metrics = await run(stepper.step({ ...step.hostFeeds(i), ...lg.noiseFeeds(step.graph, seed, i) }))
    if (i % 500 === 0) console.log(`step ${i}  loss ${metrics.loss?.data[0]?.toFixed(3)}`)
  }

  const path = lg.paths.discretePath(schedule)
  const plan = await run(TE.fromEither(samplers.planWalk(samplers.dpmpp2m(), path, { kind: 'trailing', steps: 20 })))
  const graph = await run(TE.fromEither(samplers.stepGraph(plan, network, { shape: [items, 2] })))
  const weights = Object.entries(await run(stepper.read)).filter(([name]) => name in lg.feedTypes(graph))
  const executable = await run(executor.compile(graph, { mode: 'sampling', constants: Object.fromEntries(weights) }))
  const numbers = [...Array(items).keys()]
  const [from, noiseOf] = [samplers.initialNoise(seed, numbers, [2]), samplers.keyedNoise(seed, numbers)]
  const { data } = (await run(samplers.sample({ plan, graph, executable, from, noiseOf }))).x

  const cells = numbers.map((i) => [(data[2 * i] ?? 0) * 12, (data[2 * i + 1] ?? 0) * -6].map(Math.round).join())
  const mark = (x: number, y: number) => ' .:+#'.charAt(Math.min(4, cells.filter((c) => c === `${x},${y}`).length))
  for (let y = -8; y <= 8; y++) console.log(Array.from({ length: 33 }, (_, i) => mark(i - 16, y)).join(''))
})

const result = await program()
if (E.isLeft(result)) console.error(lg.showErrors(result.left))
