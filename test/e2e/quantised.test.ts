import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawLabelMaps, tiny, type Workplace, workplace } from './program.ts'

/** Label maps of five channels, a quantised first stage with a contest and restarts, diffusion on it: interrupted and resumed. */

const labels = 5
const entries = 32
const held: { place?: Workplace } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const stage = (name: string, run: string): string => at(run, name, 'checkpoints/step-00000012')

beforeAll(async () => {
  held.place = await workplace()
  await drawLabelMaps(at('maps'))
  const { firstStage, ...rest } = JSON.parse(await readFile(tiny, 'utf8'))
  const experiment = {
    ...rest,
    data: { kind: 'segmentation', path: 'maps', labels, size: 16, heldOut: 6 },
    diffusion: { ...rest.diffusion, latents: 'quantised' },
    firstStage: {
      ...firstStage,
      kind: 'vq',
      network: { ...firstStage.network, inChannels: labels, outChannels: labels, doubleZ: false },
      quantizer: { kind: 'nearest', entries, restart: { every: 3 } },
      loss: {},
      training: { ...firstStage.training, emaDecay: 0.9 },
      adversarial: { factor: { start: 6, unit: 'steps' }, discriminator: { channels: 8, layers: 2 } },
    },
  }
  await writeFile(at('maps.json'), JSON.stringify(experiment))
  const { code, err } = await place().run(['train', 'maps.json', '--out', 'straight'])
  expect(code, err).toBe(0)
  expect(err).not.toContain('Fontconfig')
}, 300_000)
afterAll(() => held.place?.dispose())

describe('a run on label maps', () => {
  const sizes = async (name: string) => {
    const { width, height } = await sharp(at('straight', name)).metadata()
    return [width, height]
  }
  const side = (n: number): number => 2 * (16 * n + n + 1)
  test('shows inputs, reconstructions, samples from the prior and samples, in colours', async () => {
    const previews = await readdir(at('straight/first-stage/previews'))
    expect(previews.toSorted()).toEqual(
      [6, 12].flatMap((step) =>
        ['inputs-and-reconstructions', 'prior-samples'].map((s) => `step-${String(step).padStart(8, '0')}-${s}.png`),
      ),
    )
    expect(await sizes('reconstructions.png')).toEqual([side(6), side(2)])
    expect(await sizes('prior-samples.png')).toEqual([side(6), side(1)])
    expect(await sizes('samples.png')).toEqual([side(2), side(2)])
    const { channels } = await sharp(at('straight/reconstructions.png')).stats()
    const [r, g] = channels.map(({ mean }) => mean)
    expect(r).not.toBe(g)
    const html = await readFile(at('straight/report.html'), 'utf8')
    for (const words of ['Inputs and reconstructions', 'Samples from the prior', 'codes drawn from the prior'])
      expect(html).toContain(words)
  })

  test('logs how the codebook is used, and restarts dead codes every third step', async () => {
    const lines: readonly Readonly<Record<string, number>>[] = (
      await readFile(at('straight/first-stage/metrics.jsonl'), 'utf8')
    )
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    for (const { perplexity = 0, cluster_usage: used = 0 } of lines) {
      expect(perplexity).toBeGreaterThanOrEqual(0.999)
      expect(perplexity).toBeLessThanOrEqual(used * 1.001)
      expect(used).toBeLessThanOrEqual(entries)
    }
    const restarted = lines.flatMap(({ step = 0, restarted_codes: n = 0 }) => (n > 0 ? [step] : []))
    expect(restarted).toContain(3)
    expect(restarted.every((step) => step % 3 === 0)).toBe(true)
  })

  test('killed in the middle of a count and resumed, equals one that was not', { timeout: 300_000 }, async () => {
    const first = await place().run(['train', 'maps.json', '--out', 'killed'], {
      signal: 'SIGKILL',
      when: 'killed/first-stage/checkpoints/step-00000004',
    })
    expect(first.signal).toBe('SIGKILL')
    expect((await place().run(['train', 'maps.json', '--out', 'killed', '--resume'])).code).toBe(0)
    for (const name of ['reconstructions.png', 'prior-samples.png', 'samples.png', 'first-stage/metrics.jsonl'])
      expect((await readFile(at('killed', name))).equals(await readFile(at('straight', name))), name).toBe(true)
    for (const name of ['first-stage', 'diffusion'])
      for (const file of await readdir(stage(name, 'straight'))) {
        const [a, b] = await Promise.all(['killed', 'straight'].map((run) => readFile(join(stage(name, run), file))))
        expect(b !== undefined && a?.equals(b), `${name}/${file}`).toBe(true)
      }
  })
})

describe('evaluating it', () => {
  const evaluate = (...more: readonly string[]) =>
    place().here(['evaluate', 'straight', '--features', 'pixels', '--features', 'first-stage', '--steps', '2', ...more])
  const slow = { timeout: 300_000 }
  const found = async () => JSON.parse(await readFile(at('straight/evaluation.json'), 'utf8'))

  test('stopped, it writes nothing', async () => {
    const { code, err } = await place().run(['evaluate', 'straight', '--count', '5000'], {
      signal: 'SIGINT',
      when: 'straight/.owner-1.json',
    })
    expect({ code, err }).toEqual({ code: 130, err: expect.stringMatching(/stopped while .*; nothing was written\n$/) })
    expect((await readdir(at('straight'))).filter((name) => /evaluation|nearest-/.test(name))).toEqual([])
  })

  test('writes figures with their counts, pictures and a section of the report', slow, async () => {
    const { code, out, err } = await evaluate('--count', '9', '--bits-per-dim', '3')
    expect(code, err).toBe(0)
    expect(out).toMatch(/reconstructions of 6 held-out pictures: \d+\.\d+ dB PSNR, SSIM/)
    expect(out).toMatch(/^pixels +9 \/ 18 /m)
    const { run, data, samples, reconstructions, bits } = await found()
    expect(run.checkpoints).toEqual(
      ['first-stage', 'diffusion'].map((name) => ({
        stage: name,
        step: 12,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      })),
    )
    expect(data).toMatchObject({ size: 16, trained: 18, heldOut: 6 })
    expect(reconstructions.count).toBe(6)
    expect(bits).toEqual({ count: 6, bound: expect.any(Number), of: 'latents', timesteps: 3 })
    expect(samples).toMatchObject({ count: 9, seed: 3, sampling: { sampler: 'ddim', steps: 2 } })
    expect(samples.features.map((f: { extractor: string }) => f.extractor)).toEqual(['pixels', 'first-stage'])
    for (const { nearest, classes, dimensions } of samples.features) {
      expect([5 * 16 * 16, 4 * 8 * 8]).toContain(dimensions)
      expect(nearest.pairs.length).toBe(9)
      expect((await sharp(at('straight', nearest.picture)).metadata()).format).toBe('png')
      const asked = classes.rows.map((row: { asked: number }) => row.asked)
      expect(asked.reduce((a: number, b: number) => a + b, 0)).toBe(9)
    }
    const html = await readFile(at('straight/report.html'), 'utf8')
    expect(html.match(/<h2>Evaluation<\/h2>/g)?.length).toBe(1)
    expect(html).toContain('Nearest training pictures, by first-stage')
  })

  test('again gives the same figures, and one section; compares like with like alone', slow, async () => {
    const before = await found()
    await writeFile(at('before.json'), JSON.stringify(before))
    const { code, out, err } = await evaluate('--count', '9', '--bits-per-dim', '3', '--against', 'before.json')
    expect(code, err).toBe(0)
    expect(await found()).toEqual(before)
    expect(out).toContain('against tiny:')
    expect((await readFile(at('straight/report.html'), 'utf8')).match(/<h2>Evaluation<\/h2>/g)?.length).toBe(1)
    const unlike = await evaluate('--count', '8', '--against', 'straight')
    expect(unlike).toMatchObject({ code: 2, err: expect.stringMatching(/--against\n {2}expected samples: 8\n.*9 in/) })
    expect(unlike.err).toContain('hint     --count 9')
  })
})

test('nothing is left in the home, the cache and the temporary folder', async () => {
  expect(await place().leftOutside()).toEqual([])
})
