import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { noiseBatch } from '../../src/distributions/random.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { asNamed, inHalf } from '../../src/execute/onnx/portable.ts'
import { encodePortable, type Model } from '../../src/execute/onnx/proto.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { requested } from '../../src/experiment/sampling.ts'
import { writeContentAtomic } from '../../src/io/atomic.ts'
import { toByte } from '../../src/io/pictures.ts'
import { drawPictures } from '../../src/train/drawing.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { portableFiles } from '../../src/train/portable/files.ts'
import { networkModels } from '../../src/train/portable/networks.ts'
import { noiseModel } from '../../src/train/portable/noise.ts'
import { type Drawn, samplerModel } from '../../src/train/portable/sampler.ts'
import { right } from '../arbitrary/run.ts'

/** Models for other runtimes, in the one that is here. */

type Feeds = Parameters<InferenceSession['run']>[0]
const answered = async (model: Model, feeds: Feeds): Promise<Awaited<ReturnType<InferenceSession['run']>>> => {
  const session = await InferenceSession.create(encodePortable(model, ''), { intraOpNumThreads: 1 })
  const answer = await session.run(feeds)
  await session.release()
  return answer
}
const seedOf = (seed: number): Tensor => new Tensor('int64', BigInt64Array.of(BigInt(seed)), [])

it('noise is that of our own generator, whatever the seed', async () => {
  const model = asNamed(noiseModel([{ name: 'a', leaf: 'sampler/noise', steps: [0, 3, 11], shape: [3, 5, 67] }]))
  for (const seed of [0, 7, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
    const found = await answered(model, { seed: seedOf(seed) })
    const own = [0, 3, 11].flatMap((step) => [...noiseBatch(seed, step, 'sampler/noise', [0], [3, 5, 67])])
    const made = found.a?.data
    if (!(made instanceof Float32Array)) throw new Error('no noise')
    expect(Math.max(...own.map((x, i) => Math.abs(x - (made[i] ?? Number.NaN))))).toBeLessThan(1e-6)
  }
})

const domainsOf = ({ nodes }: Model): readonly string[] =>
  nodes.flatMap(({ domain, bodies = {} }) => [domain, ...Object.values(bodies).flatMap(domainsOf)])

describe('a sampler with its steps within', async () => {
  const experiment = right(await loadExperiment(join(import.meta.dirname, '../../graphs/tiny.json'))())
  const plan = right(planExperiment(experiment, 3))
  const { firstStage, diffusion } = plan
  if (firstStage === undefined || diffusion === undefined) throw new Error('graphs/tiny.json has two stages')
  // Weights begin at 0 where training has them so: all are shaken, so that the network says something.
  const shaken = (state: Values): Values =>
    Object.fromEntries(
      Object.entries(state).map(([name, { shape, data }]) => [
        name,
        floats(
          shape,
          Float64Array.from(data, (x, i) => Number(x) + 0.01 * Math.sin(1 + i * 12.9898 + name.length)),
        ),
      ]),
    )
  const run: Drawn = {
    experiment,
    model: diffusion.model,
    scale: 0.7,
    firstStage: shaken(firstStage.step.initial(5)),
    diffusion: shaken(diffusion.step.initial(6)),
  }
  const drawn = (sampler: 'ddim' | 'euler-ancestral' | 'dpm++-2m'): Drawn => ({
    ...run,
    experiment: { ...experiment, sampling: right(requested(experiment.sampling, { sampler, steps: 4 })) },
  })

  it.each(['ddim', 'euler-ancestral', 'dpm++-2m'] as const)('%s draws the picture that we draw', async (sampler) => {
    const asked = drawn(sampler)
    const model = right(samplerModel(asked))
    expect(new Set(domainsOf(model))).toEqual(new Set(['']))
    expect(model.inputs.map(({ name }) => name).toSorted()).toEqual(['labels', 'seed'])
    const { picture } = await answered(model, { seed: seedOf(9), labels: new Tensor('int32', Int32Array.of(1), [1]) })
    const ours = right(
      await drawPictures(onnx('cpu'), { model: run.model, stage: experiment.firstStage }, run, {
        labels: [1],
        seed: 9,
        sampling: asked.experiment.sampling,
        scale: run.scale,
      })(),
    )
    const [, height = 0, width = 0] = ours.shape
    expect(picture?.dims).toEqual([height, width, 3])
    const theirs = picture?.data
    if (!(theirs instanceof Uint8Array)) throw new Error('no picture')
    const differences = Array.from(theirs, (byte, i) => {
      const [channel, at] = [i % 3, Math.floor(i / 3)]
      return Math.abs(byte - toByte(ours.data[channel * height * width + at] ?? Number.NaN))
    })
    expect(new Set(theirs).size).toBeGreaterThan(20)
    expect(Math.max(...differences)).toBeLessThanOrEqual(1)
  })

  it('networks have the names of their leaves, and standard operators alone', () => {
    const models = right(networkModels(run))
    const ends = Object.entries(models).map(([name, { inputs, outputs }]) => [
      name,
      inputs.map((x) => x.name).toSorted(),
      outputs.map((x) => x.name),
    ])
    expect(ends.toSorted()).toEqual([
      ['decoder', ['latents'], ['pixels']],
      ['denoiser', ['labels', 't', 'x_t'], ['prediction']],
      ['encoder', ['pixels'], ['moments']],
    ])
    expect(new Set(Object.values(models).flatMap(domainsOf))).toEqual(new Set(['']))
  })

  const latents = () =>
    new Tensor(
      'float32',
      Float32Array.from({ length: 4 * 8 * 8 }, (_, i) => Math.sin(i)),
      [1, 4, 8, 8],
    )
  it('arrays that no file of protobuf holds lie in one of their own', async () => {
    const { decoder } = right(networkModels(run))
    if (decoder === undefined) throw new Error('no decoder')
    const within = (await answered(decoder, { latents: latents() })).pixels?.data
    const dir = await mkdtemp(join(tmpdir(), 'latentgraph-portable-'))
    const files = portableFiles('decoder', decoder, '', 1000)
    expect(files.map(({ name }) => name)).toEqual(['decoder.onnx.data', 'decoder.onnx'])
    for (const { name, content } of files) right(await writeContentAtomic(join(dir, name), content)())
    expect((await stat(join(dir, 'decoder.onnx'))).size).toBeLessThan((await stat(join(dir, 'decoder.onnx.data'))).size)
    const session = await InferenceSession.create(join(dir, 'decoder.onnx'), { intraOpNumThreads: 1 })
    expect((await session.run({ latents: latents() })).pixels?.data).toEqual(within)
    await session.release()
    await rm(dir, { recursive: true })
  })

  it('weights in 16 bits are half as large, and say nearly the same', async () => {
    const { decoder } = right(networkModels(run))
    if (decoder === undefined) throw new Error('no decoder')
    const whole = (await answered(decoder, { latents: latents() })).pixels?.data
    const half = (await answered(inHalf(decoder), { latents: latents() })).pixels?.data
    if (!(whole instanceof Float32Array && half instanceof Float32Array)) throw new Error('no pixels')
    const [a, b] = [decoder, inHalf(decoder)].map((m) => encodePortable(m, '').length)
    expect((b ?? 0) / (a ?? 1)).toBeLessThan(0.7)
    expect(half).not.toEqual(whole)
    expect(Math.max(...whole.map((x, i) => Math.abs(x - (half[i] ?? Number.NaN))))).toBeLessThan(2e-2)
  })
})
