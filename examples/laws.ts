/** The laws of the field, turned on code of one's own: `node dist/examples/laws.js` */
import fc from 'fast-check'
import { add, exp, mul, noiseSchedules, pipe, reference, square, sub, sum } from 'latentgraph'
import { forwardLaws, type GaussianImplementation, gaussianLaws, type Law } from 'latentgraph/laws'

/** A noise schedule of one's own: log-SNR falls in a straight line from 8 to -8. */
const straight = (timesteps: number) => {
  const bar = (t: number): number => 1 / (1 + Math.exp(-8 + (16 * t) / (timesteps - 1)))
  const betas = Array.from({ length: timesteps }, (_, t) => 1 - bar(t) / (t === 0 ? 1 : bar(t - 1)))
  return noiseSchedules.scheduleOfBetas(betas)
}

/** Gaussians of one's own, with a slip: the KL divergence forgets the half of the means' part. */
const slip: GaussianImplementation = {
  kl: (p, q) =>
    pipe(
      pipe(p.logvar, sub(q.logvar)),
      (d) => pipe(exp(d), sub(1), sub(d), mul(0.5)),
      add(pipe(p.mean, sub(q.mean), square, mul(exp(pipe(q.logvar, mul(-1)))))),
      sum({ axes: [1] }),
    ),
  nll: (x, p) =>
    pipe(
      pipe(x, sub(p.mean), square, mul(exp(pipe(p.logvar, mul(-1))))),
      add(p.logvar),
      add(Math.log(2 * Math.PI)),
      sum({ axes: [1] }),
      mul(0.5),
    ),
  sample: (noise, p) => pipe(noise, mul(exp(pipe(p.logvar, mul(0.5)))), add(p.mean)),
}

const judge = async (title: string, laws: readonly Law[]): Promise<void> => {
  console.log(`\n# ${title}`)
  for (const law of laws) {
    const { holds, counterexample } = await law.check(reference, { seed: 1, runs: 20 })()
    console.log(holds ? 'holds ' : 'BROKEN', law.name)
    if (counterexample !== undefined)
      console.log(`       ${law.equation}\n       ${counterexample.reason}, at ${counterexample.value}`)
  }
}

await judge('a schedule', forwardLaws(fc.integer({ min: 2, max: 12 }).map(straight)))
await judge('a slip', gaussianLaws(slip))
