/** An experiment whose pictures, network, error and sampler are functions of this program: `node dist/examples/own-experiment.js` */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as lg from 'latentgraph'
import { nn, orThrow, pipe, samplers } from 'latentgraph'

const size = 12

/** The pictures: discs of a red, each at its own place. */
const disc = (i: number): lg.Picture => {
  const [x, y, r] = [4 + (i % 5), 4 + (Math.floor(i / 5) % 5), 2 + (i % 3) / 2]
  const data = new Uint8Array(3 * size * size).fill(255)
  for (let at = 0; at < size * size; at++)
    if (Math.hypot((at % size) - x, Math.floor(at / size) - y) < r) data.set([200, 30, 40], 3 * at)
  return { width: size, height: size, data }
}

/** The network: convolutions side by side with what they see, told of the time by a number for each channel. */
const width = 32
const block = (name: string, time: lg.Tensor) => (x: lg.Tensor) => {
  const told = pipe(time, nn.linear(lg.at(name, 'time'), { out: width }), lg.unsqueeze(2, 3))
  const conv = nn.conv2d(lg.at(name, 'conv'), { out: width, kernel: 3, padding: 1 })
  return pipe(x, nn.groupNorm(lg.at(name, 'norm')), lg.add(told), lg.silu, conv, lg.add(x))
}
const network: lg.OwnNetwork = (x, t) => {
  const time = pipe(t, nn.timestepEmbedding(width), nn.linear('time', { out: width }), lg.silu)
  const first = pipe(x, nn.conv2d('in', { out: width, kernel: 3, padding: 1 }))
  const middle = ['0', '1', '2'].reduce((h, name) => pipe(h, block(name, time)), first)
  return pipe(middle, lg.silu, nn.conv2d('out', { out: 3, kernel: 3, padding: 1 }))
}

/** The error: that of Charbonnier, between the square and the absolute value. */
const charbonnier: lg.OwnLoss = (target) => (prediction) =>
  pipe(prediction, lg.sub(target), lg.square, lg.add(0.01), lg.sqrt)

/** The sampler: DDIM's step, and half of its noise drawn anew. */
const halfAnew = samplers.sampler({
  name: 'half-anew',
  order: 0,
  *walk(w) {
    let x = w.start
    for (const { here, next } of w.transitions) {
      const { x0, eps } = yield* samplers.predict(here, x)
      const fresh = yield* samplers.noise()
      x = samplers.combine([next.alpha, x0], [next.sigma * Math.sqrt(0.5), eps], [next.sigma * Math.sqrt(0.5), fresh])
    }
    return x
  },
})

export const definition = orThrow(
  lg.defineExperiment({
    name: 'discs',
    version: '1',
    seed: 2,
    data: { kind: () => Array.from({ length: 75 }, (_, i) => ({ picture: disc(i) })), size },
    firstStage: { kind: 'identity' },
    diffusion: {
      schedule: { kind: 'cosine', timesteps: 100 },
      predicts: 'v',
      unet: network,
      loss: charbonnier,
      training: {
        ...{ steps: 240, batchSize: 8, optimizer: { kind: 'adam' }, emaDecay: 0.98, previewEvery: 1000 },
        learningRate: { kind: 'warm-up-cosine', rate: 3e-3, warmUp: 20 },
      },
    },
    sampling: { sampler: halfAnew, steps: 20, perClass: 8 },
  }),
)

const out = await mkdtemp(join(tmpdir(), 'latentgraph-discs-'))
const { dir, report } = await orThrow(
  lg.train(definition, {
    out,
    onEvent: (event) => {
      if (event.kind === 'step' && event.step % 60 === 0)
        console.log(`step ${event.step}  loss ${event.metrics.loss?.toFixed(3)}`)
    },
  }),
)
const run = await orThrow(lg.loadRun(dir, { definition }))
const pictures = await orThrow(run.sample({ count: 8, seed: 5 }))
await orThrow(lg.writePicture(join(out, 'discs.png'), orThrow(lg.grid(pictures, { columns: 4, scale: 4 }))))
run.dispose()
const reddish = pictures.map(({ data }) => data.filter((x, i) => i % 3 === 1 && x < 128).length)
console.log(`pixels of a disc in each: ${reddish.join(' ')}`)
console.log(`${join(out, 'discs.png')}\n${report}`)
