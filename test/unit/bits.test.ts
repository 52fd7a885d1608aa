import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { onnx } from '../../src/execute/onnx/index.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { applySettings, parseSetting } from '../../src/experiment/settings.ts'
import { TE } from '../../src/prelude.ts'
import { bitsFigures } from '../../src/train/evaluation/bits.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { right } from './diffusion-fixtures.ts'

const document: unknown = JSON.parse(readFileSync(new URL('../../graphs/tiny.json', import.meta.url), 'utf8'))
const settings = [
  '/firstStage={"kind":"identity"}',
  '/data/size=8',
  '/diffusion/conditioning={"kind":"none"}',
  '/diffusion/unet/inChannels=3',
  '/diffusion/unet/outChannels=3',
  '/diffusion/unet/channelMultipliers=[1]',
  '/diffusion/unet/attentionFactors=[]',
  '/diffusion/schedule={"kind":"cosine","timesteps":6}',
  '/diffusion/predicts=x0',
  '/sampling={"steps":3}',
]

const about = () => ({ name: '', sha256: '', bytes: 0 })

/** As the reference approximates the normal distribution. */
const cdf = (x: number): number => 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))

test('a network that says 0 takes the bits that are in pictures', async () => {
  const e = right(decodeExperiment(right(applySettings(settings.map((s) => right(parseSetting(s))))(document))))
  const { diffusion } = right(planExperiment(e, 0))
  const schedule = diffusion?.model.process.schedule
  if (diffusion === undefined || schedule === undefined) throw new Error('a schedule of timesteps was declared')
  const value = 0.6
  const read = ({ length }: ArrayLike<number>) => TE.right({ pictures: new Float32Array(length * 192).fill(value) })
  const data = { n: 3, channels: 3, height: 8, width: 8, classes: [], about, read, notes: [] }
  const { model, step } = diffusion
  const known = { experiment: e, model, firstStage: {}, state: step.initial(0), scale: 1 }
  const options = { executor: onnx('cpu'), timesteps: 6, seed: 0, onStep: () => {} }
  const found = right(await bitsFigures(known, data, options)())
  const deviation = Math.sqrt(schedule.posteriorVariance[1] ?? Number.NaN)
  const [over, under] = [1, -1].map((side) => cdf((value + side / 255) / deviation))
  const last = schedule.alphasCumprod.at(-1) ?? Number.NaN
  const nats =
    0.5 * (-Math.log(1 - last) - last + last * value ** 2) -
    Math.log((over ?? 0) - (under ?? 0)) +
    schedule.vlbWeights.x0.reduce((sum, w) => sum + w * value ** 2, 0)
  expect(found.bound).toBeCloseTo(nats / Math.LN2, 3)
  expect(found).toMatchObject({ count: 3, of: 'pixels', timesteps: 6 })
})
