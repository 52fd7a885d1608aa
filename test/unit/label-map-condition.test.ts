import fc from 'fast-check'
import { expect, it } from 'vitest'
import { conditionerOf } from '../../src/experiment/conditioning.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { E } from '../../src/prelude.ts'

const [labels, whole, side] = [3, 8, 4]
const conditioner = conditionerOf(
  { kind: 'label-map', path: 'maps', labels },
  { latent: [4, side, side], picture: [3, whole, whole], classes: 0 },
)
const told = (maps: Float32Array): Float32Array => {
  const { beside = expect.unreachable('nothing beside') } = conditioner.feeds({ labels: [0], pictures: maps })
  expect(beside.shape).toEqual([maps.length / whole ** 2, labels, side, side])
  return Float32Array.from(beside.data)
}
const map = fc.array(fc.integer({ min: 0, max: labels - 1 }), { minLength: 2 * whole ** 2, maxLength: 2 * whole ** 2 })

it('each latent is told which shares of its pixels have which label', () => {
  fc.assert(
    fc.property(map, fc.nat(2 * side ** 2 - 1), (pixels, at) => {
      const found = told(Float32Array.from(pixels))
      const [row, latent] = [Math.floor(at / side ** 2), at % side ** 2]
      const [y, x] = [Math.floor(latent / side), latent % side]
      const own = [0, 1].flatMap((dy) =>
        [0, 1].map((dx) => pixels[row * whole ** 2 + (2 * y + dy) * whole + 2 * x + dx]),
      )
      for (let label = 0; label < labels; label++)
        expect(found[(row * labels + label) * side ** 2 + latent]).toBe(own.filter((l) => l === label).length / 4)
    }),
  )
})

it('the maps of the data are the condition as they are, and labels have colours of their own', () => {
  const { pictures = expect.unreachable('no pictures') } = conditioner
  const maps = Float32Array.from({ length: whole ** 2 }, (_, i) => i % labels)
  expect(
    pictures.of({ pictures: new Float32Array(3 * whole ** 2), maps }, () => expect.unreachable('no chance')),
  ).toEqual(maps)
  const shown = pictures.shown(maps)
  const colours = [0, 1, 2].map((i) => [0, 1, 2].map((channel) => shown[channel * whole ** 2 + i]).join())
  expect(new Set(colours).size).toBe(labels)
})

it('an experiment says where they lie, once', async () => {
  const tiny = (...sets: readonly string[]) =>
    loadExperiment('graphs/tiny.json', [
      '/diffusion/conditioning={"kind":"label-map","path":"maps","labels":5}',
      '/diffusion/unet/inChannels=9',
      '/sampling/guidance=1',
      ...sets,
    ])()
  const read = await tiny()
  if (E.isLeft(read)) throw new Error('refused')
  expect(read.right.diffusion?.conditioning).toMatchObject({ path: expect.stringMatching(/graphs[/\\]maps$/) })
  const places = async (...sets: readonly string[]) => {
    const found = await tiny(...sets)
    return E.isLeft(found) ? found.left.map(({ at }) => at) : []
  }
  expect(await places('/diffusion/unet/inChannels=4')).toEqual(['/diffusion/unet/inChannels'])
  expect(
    await places(
      '/firstStage/adversarial={"factor":{"start":1,"unit":"steps"},"discriminator":{"layers":1},"condition":{"kind":"label-map","path":"other","labels":5}}',
    ),
  ).toEqual(['/diffusion/conditioning/path'])
})
