/** Longer than 400 lines: all of it tries the run that is trained at its beginning. */

import { createHash } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadExperiment } from '../../src/experiment/load.ts'
import { loadCheckpoint } from '../../src/io/checkpoint.ts'
import { modelParameters, planExperiment, type StagePlan } from '../../src/train/plan.ts'
import { right } from '../arbitrary/run.ts'
import { torchStateDict } from '../unit/torch-pickles.ts'
import { drawPictures, type Ended, type Interruption, pixelsOf, tiny, type Workplace, workplace } from './program.ts'

/**
 * The whole road through the compiled command line, on 24 small pictures: trained, interrupted, resumed, sampled. One file, however long,
 * since all of it looks at the one run that is trained first.
 */

const steps = 12
const stages = ['first-stage', 'diffusion'] as const
type Stage = (typeof stages)[number]
const checkpoint = (run: string, stage: Stage, step: number): string =>
  `${run}/${stage}/checkpoints/step-${String(step).padStart(8, '0')}`

const previewsOf = { 'first-stage': ['inputs-and-reconstructions', 'prior-samples'], diffusion: ['samples'] } as const
const preview = (step: number, shows: string): string => `step-${String(step).padStart(8, '0')}-${shows}.png`

/** Width or height of n pictures of 16 pixels beside each other, drawn at twice their size with a gap of 1. */
const side = (n: number): number => 2 * (16 * n + n + 1)

const held: { place?: Workplace; straight?: Ended } = {}
const place = (): Workplace => {
  if (held.place === undefined) throw new Error('no place to work in')
  return held.place
}
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const hash = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
const pictures = (path: string, heldOut = 6): string =>
  `/data=${JSON.stringify({ kind: 'folder', path, size: 16, heldOut })}`
const training = (run: string, more: readonly string[]): readonly string[] => [
  ...['train', tiny, '--out', run, '--set', pictures(at('pictures'))],
  ...more,
]
const train = (run: string, more: readonly string[] = [], interruption?: Interruption): Promise<Ended> =>
  place().run(training(run, more), interruption)
/** The same without a process of its own. */
const goOn = (run: string, ...more: readonly string[]) => place().here(training(run, ['--resume', ...more]))

beforeAll(async () => {
  held.place = await workplace()
  await drawPictures(at('pictures'))
  held.straight = await train('straight')
}, 120_000)
afterAll(() => held.place?.dispose())

describe('training', () => {
  const sizeOf = async (...path: readonly string[]) => {
    const { format, width, height } = await sharp(at(...path)).metadata()
    await sharp(at(...path))
      .raw()
      .toBuffer()
    return { format, width, height }
  }
  test('ends by saying where the report is', () => {
    const { code, out, err } = held.straight ?? { code: null, out: '', err: '' }
    expect(err).toContain('18 pictures to train on, 6 held out, 2 classes')
    expect(err).toMatch(/^first-stage {2}step 12\/12 .*took/m)
    expect(err).toMatch(/^diffusion {2}step 12\/12 .*took/m)
    expect({ code, out }).toEqual({ code: 0, out: 'straight/report.html\n' })
  })
  test('leaves these files and no others', async () => {
    const found = await readdir(at('straight'), { recursive: true, withFileTypes: true })
    const files = found
      .filter((f) => f.isFile())
      .map((f) => join(f.parentPath, f.name).slice(at('straight').length + 1))
    const ofStage = (stage: Stage, groups: readonly string[]): readonly string[] => [
      ...[8, 12].flatMap((step) =>
        [...groups.map((g) => `${g}.safetensors`), 'manifest.json'].map(
          (f) => `${checkpoint('', stage, step).slice(1)}/${f}`,
        ),
      ),
      ...[6, 12].flatMap((step) => previewsOf[stage].map((shows) => `${stage}/previews/${preview(step, shows)}`)),
      `${stage}/metrics.jsonl`,
    ]
    expect(files.toSorted()).toEqual(
      [
        ...ofStage('first-stage', ['optimizer', 'parameters']),
        ...ofStage('diffusion', ['ema', 'optimizer', 'parameters']),
        ...['data.json', 'experiment.json', 'latents.json', 'loss-curves.png', 'loss-curves.svg'],
        ...['nearest.png', 'prior-samples.png', 'reconstructions.png', 'report.html', 'samples.png'],
      ].toSorted(),
    )
  })
  test('pictures open, in their sizes', async () => {
    expect(await sizeOf('straight/reconstructions.png')).toEqual({ format: 'png', width: side(6), height: side(2) })
    expect(await sizeOf('straight/samples.png')).toEqual({ format: 'png', width: side(2), height: side(2) })
    expect(await sizeOf('straight/prior-samples.png')).toEqual({ format: 'png', width: side(6), height: side(1) })
    const heights = { 'inputs-and-reconstructions': side(2), 'prior-samples': side(1) } as const
    for (const step of [6, 12]) {
      for (const shows of previewsOf['first-stage'])
        expect(await sizeOf('straight/first-stage/previews', preview(step, shows))).toMatchObject({
          width: side(6),
          height: heights[shows],
        })
      expect(await sizeOf('straight/diffusion/previews', preview(step, 'samples'))).toMatchObject({
        width: side(16),
        height: side(2),
      })
    }
    expect(await sizeOf('straight/loss-curves.png')).toMatchObject({ format: 'png' })
  })
  test.each(stages)('%s: one line of finite numbers a step', async (stage) => {
    const text = await readFile(at('straight', stage, 'metrics.jsonl'), 'utf8')
    const lines: readonly Readonly<Record<string, unknown>>[] = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1))
    for (const line of lines) {
      expect(Object.keys(line)).toContain('loss')
      for (const value of Object.values(line)) expect(Number.isFinite(value)).toBe(true)
    }
  })
  test.each(stages)('%s: the last checkpoint loads, all of it finite', async (stage) => {
    const { step, groups } = right(await loadCheckpoint(at(checkpoint('straight', stage, steps)))())
    expect(step).toBe(steps)
    for (const arrays of Object.values(groups))
      for (const [name, { data }] of Object.entries(arrays))
        expect(
          data.every((x) => Number.isFinite(Number(x))),
          name,
        ).toBe(true)
  })
  test('the report is whole and stands alone', async () => {
    const html = await readFile(at('straight/report.html'), 'utf8')
    expect(html).toMatch(/^<!doctype html>[\s\S]*<\/html>\s*$/i)
    expect(html.match(/src="data:image\/png;base64,/g)).toHaveLength(4)
    for (const title of [
      'Samples',
      'Nearest training pictures',
      'Inputs and reconstructions',
      'Samples from the prior',
    ])
      expect(html).toContain(`<h2>${title}</h2>`)
    expect(html).not.toMatch(/(src|href)="(?!data:|#|https:)/)
    expect(html).not.toMatch(/undefined|\bNaN\b|\[object/)
  })
  test('`check` knows the parameters that were trained', async () => {
    const { code, out } = await place().here(['check', tiny, '--json', '--set', pictures(at('pictures'))])
    expect(code).toBe(0)
    const { parameters, lint } = JSON.parse(out)
    expect(Object.keys(parameters).toSorted()).toEqual(['first_stage', 'unet'])
    expect(lint).toEqual([])
    const sections = { first_stage: 'first-stage', unet: 'diffusion' } as const
    for (const [section, stage] of Object.entries(sections)) {
      const { groups } = right(await loadCheckpoint(at(checkpoint('straight', stage, steps)))())
      const trained = Object.fromEntries(
        Object.entries(groups.parameters ?? {}).map(([name, { shape }]) => [name, shape]),
      )
      expect(parameters[section]).toEqual(trained)
    }
  })
})

/** The files of a folder, all the way down. */
const namesIn = async (folder: string): Promise<readonly string[]> => {
  const found = await readdir(at(folder), { recursive: true, withFileTypes: true })
  return found
    .filter((f) => f.isFile())
    .map((f) => relative(at(folder), join(f.parentPath, f.name)))
    .toSorted()
}
const filesWith = async <A>(folder: string, of: (path: string) => Promise<A>): Promise<Readonly<Record<string, A>>> => {
  const names = await namesIn(folder)
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await of(at(folder, name))] as const)))
}
/** All files, and what is in them. */
const filesOf = (folder: string) => filesWith(folder, hash)
/** All files, and when they were written last. */
const stateOf = (folder: string) =>
  filesWith(folder, async (path) => {
    const { size, mtimeMs } = await stat(path)
    return { size, mtimeMs }
  })
/** What two runs of one experiment have in common, byte for byte: all but the report, which says how long they took. */
const product = async (run: string): Promise<Readonly<Record<string, string>>> => {
  const { 'report.html': report, ...files } = await filesOf(run)
  expect(report).toBeDefined()
  return files
}

describe('a run that was interrupted in both stages, and resumed, equals one that was not', () => {
  const interrupted = (run: string, stage: Stage, signal: NodeJS.Signals): Interruption => ({
    signal,
    when: checkpoint(run, stage, 4),
  })
  test('by Ctrl-C', async () => {
    const first = await train('stopped', [], interrupted('stopped', 'first-stage', 'SIGINT'))
    expect(first.code).toBe(130)
    expect(first.err).toContain('To go on: npx latentgraph train')
    expect(await readdir(at('stopped'))).not.toContain('diffusion')
    const second = await train('stopped', ['--resume'], interrupted('stopped', 'diffusion', 'SIGINT'))
    expect(second.code).toBe(130)
    expect(await readdir(at('stopped'))).not.toContain('samples.png')
    expect((await train('stopped', ['--resume'])).code).toBe(0)
    expect(await product('stopped')).toEqual(await product('straight'))
  })
  test('by SIGKILL, in the middle of writing besides', async () => {
    const first = await train('killed', [], interrupted('killed', 'first-stage', 'SIGKILL'))
    expect(first.signal).toBe('SIGKILL')
    const halfWritten = at('killed/first-stage/checkpoints/.step-00000099.0123456789ab.tmp')
    await mkdir(halfWritten)
    await writeFile(join(halfWritten, 'parameters.safetensors'), 'half')
    const second = await train('killed', ['--resume'], interrupted('killed', 'diffusion', 'SIGKILL'))
    expect(second.signal).toBe('SIGKILL')
    await writeFile(at('killed/diffusion/metrics.jsonl'), '{"step":5,"lo', { flag: 'a' })
    expect((await goOn('killed')).code).toBe(0)
    expect(await product('killed')).toEqual(await product('straight'))
  })
})

describe('a checkpoint of torch, imported to train on from', () => {
  /** A file of `torch.save` of latent diffusion: both stages as they are before their first step, and the average. */
  const written = async (name: string): Promise<string> => {
    const e = right(await loadExperiment(tiny, [pictures(at('pictures'))])())
    const { firstStage, diffusion } = right(planExperiment(e, 2))
    const under = (stage: StagePlan | undefined, key: (parameter: string) => string) => {
      const initial = stage?.step.initial(e.seed) ?? {}
      return (stage === undefined ? [] : modelParameters(stage)).map(
        (p) => [key(p.name), initial[p.name] ?? expect.unreachable(p.name)] as const,
      )
    }
    const arrays = [
      ...under(firstStage, (p) => `first_stage_model.${p}`),
      ...under(diffusion, (p) => `model.diffusion_model.${p}`),
      ...under(diffusion, (p) => `model_ema.diffusion_model${p.replaceAll('.', '')}`),
    ]
    await writeFile(at(name), torchStateDict(arrays))
    return name
  }
  test('goes on as the run would that began so', async () => {
    const sets = ['--set', pictures(at('pictures'))]
    const { code, out, err } = await place().here([
      'import',
      await written('ldm.ckpt'),
      '--into',
      tiny,
      '--fine-tune',
      '--out',
      'imported',
      ...sets,
    ])
    expect({ code, out }, err).toEqual({ code: 0, out: 'imported\n' })
    expect(err).toContain('To go on: npx latentgraph train imported/experiment.json --out imported --resume')
    const resumed = await place().here(['train', 'imported/experiment.json', '--out', 'imported', '--resume'])
    expect(resumed, resumed.err).toMatchObject({ code: 0, out: 'imported/report.html\n' })
    expect(await product('imported')).toEqual(await product('straight'))
  })
})

describe('sampling', () => {
  const sample = async (out: string, ...more: readonly string[]): Promise<Buffer> => {
    const ended = await place().here(['sample', 'straight', '--out', out, ...more])
    expect(ended, ended.err).toMatchObject({ code: 0, out: `${out}\n` })
    return readFile(at(out))
  }
  test('one seed gives the same bytes; another gives others', async () => {
    const alone = await place().run(['sample', 'straight', '--out', 'a.png', '--seed', '5'])
    expect(alone, alone.err).toMatchObject({ code: 0, out: 'a.png\n' })
    const [a, b, c] = [
      await readFile(at('a.png')),
      await sample('b.png', '--seed', '5'),
      await sample('c.png', '--seed', '6'),
    ]
    expect(a.equals(b)).toBe(true)
    expect(a.equals(c)).toBe(false)
  })
  test('with the settings of the run it draws the grid of the run', async () => {
    await sample('again.png')
    expect((await pixelsOf(at('again.png'))).equals(await pixelsOf(at('straight/samples.png')))).toBe(true)
  })
  test('in float16 the pictures are nearly the same', async () => {
    const args = ['--seed', '5', '--executor', 'onnx:cpu']
    await sample('wide.png', ...args)
    await sample('half.png', ...args, '--precision', 'float16')
    const [wide, half] = [await pixelsOf(at('wide.png')), await pixelsOf(at('half.png'))]
    const apart = wide.map((x, i) => Math.abs(x - (half[i] ?? 0)))
    expect(Math.max(...apart)).toBeGreaterThan(0)
    expect(apart.reduce((s, d) => s + d, 0) / apart.length).toBeLessThan(1)
  })
  test('options are heard', async () => {
    await sample('disc.png', '--class', 'Disc', '--count', '3', '--sampler', 'ddpm', '--guidance', '1', '--seed', '1')
    expect(await sharp(at('disc.png')).metadata()).toMatchObject({ width: side(3), height: side(1) })
  })
})

describe('sampling from a picture', () => {
  const box = () => ['--class', 'box', '--count', '1', '--from', at('pictures/box/03.png')]
  /** The one picture of a grid, in its own size. */
  const picture = async (...options: readonly string[]): Promise<Buffer> => {
    const ended = await place().here(['sample', 'straight', '--out', 'drawn.png', ...options])
    expect(ended, ended.err).toMatchObject({ code: 0 })
    const grid = sharp(await readFile(at('drawn.png'))).extract({ left: 2, top: 2, width: 32, height: 32 })
    const whole = sharp(await grid.toBuffer()).resize({ width: 16, height: 16, kernel: 'nearest' })
    return whole.raw().toBuffer()
  }
  test('at strength 0 nothing is drawn, at 1 it is as from noise', async () => {
    expect(await picture(...box(), '--strength', '1')).toEqual(await picture('--class', 'box', '--count', '1'))
    const [none, half] = [await picture(...box(), '--strength', '0'), await picture(...box(), '--strength', '0.5')]
    expect(none.equals(half)).toBe(false)
  })
  test('what is black in a mask stays to the byte, what is white is drawn', async () => {
    const mask = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="16" height="16"/><rect width="8" height="16" fill="#fff"/></svg>`
    await sharp(Buffer.from(mask)).png().toFile(at('mask.png'))
    const original = await sharp(at('pictures/box/03.png')).removeAlpha().raw().toBuffer()
    const drawn = await picture(...box(), '--mask', at('mask.png'))
    const differs = (right: boolean): boolean =>
      drawn.some((x, i) => Math.floor(i / 3) % 16 >= 8 === right && x !== original[i])
    expect({ left: differs(false), right: differs(true) }).toEqual({ left: true, right: false })
  })
  test('inverted, between noises, varied, guided away: each draws', async () => {
    await picture(...box(), '--invert', '--from-class', 'disc')
    await picture('--interpolate', '9', '--count', '3')
    await picture('--vary', '0.3', '--count', '3')
    await picture('--class', 'box', '--negative', 'disc', '--guidance-rescale', '0.7')
  })
  test.each([
    [
      ['--from', 'pictures/box/03.png', '--invert', '--sampler', 'euler-ancestral'],
      /--invert\n {2}expected a sampler that/,
    ],
    [['--negative', 'disc', '--guidance', '1'], /--negative\n {2}expected guidance/],
  ] as const)('%j is refused', async (options, message) => {
    const { code, err } = await place().here(['sample', 'straight', '--out', 'w.png', ...options])
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringMatching(message) })
  })
})

describe('wrong input: one message, an exit code, nothing written', () => {
  const cases: Readonly<Record<string, readonly [args: () => readonly string[], message: RegExp]>> = {
    'no such file': [() => ['train', 'nope.json', '--out', 'w'], /nope\.json\n {2}expected a readable file/],
    'no JSON': [() => ['train', 'bad.json', '--out', 'w'], /bad\.json:1:\d+\n {2}expected a JSON document/],
    'an unknown key': [() => ['train', tiny, '--out', 'w', '--set', '/seeed=3'], /\/seeed[\s\S]*did you mean "seed"\?/],
    'fields that do not fit': [
      () => ['train', tiny, '--out', 'w', '--set', '/diffusion/unet/inChannels=8'],
      /\/diffusion\/unet\/inChannels\n {2}expected 4/,
    ],
    'no pictures': [
      () => ['train', tiny, '--out', 'w', '--set', pictures(at('nowhere'))],
      /nowhere\n {2}expected a folder/,
    ],
    'a broken picture': [
      () => ['train', tiny, '--out', 'w', '--set', pictures(at('broken'))],
      /broken\/disc\/zz\.png\n {2}expected a readable picture/,
    ],
    'everything held out': [
      () => ['train', tiny, '--out', 'w', '--set', pictures(at('pictures'), 24)],
      /\/data\/heldOut\n {2}expected fewer/,
    ],
    'a run that is there': [
      () => ['train', tiny, '--out', 'straight', '--set', pictures(at('pictures'))],
      /--out\n {2}expected a folder without a run/,
    ],
    'no run to sample': [
      () => ['sample', 'nope', '--out', 'w.png'],
      /^nope\n {2}expected the folder of a run\n[\s\S]*straight/,
    ],
    'a class that is none': [
      () => ['sample', 'straight', '--class', 'disk', '--out', 'w.png'],
      /--class\n {2}expected "box" \| "disc"\n[\s\S]*did you mean "disc"\?/,
    ],
    'no picture to draw from': [
      () => ['sample', 'straight', '--from', 'nowhere.png', '--out', 'w.png'],
      /nowhere\.png\n {2}expected a readable file/,
    ],
    'an executor that is none': [
      () => ['sample', 'straight', '--executor', 'cuda', '--out', 'w.png'],
      /executor\n {2}expected reference \| onnx/,
    ],
    'a place that is no folder': [
      () => ['sample', 'straight', '--out', 'bad.json/w.png'],
      /bad\.json\/w\.png\n {2}expected a file/,
    ],
    'a damaged checkpoint': [
      () => ['sample', 'damaged', '--out', 'w.png'],
      /ema\.safetensors\n {2}expected [\s\S]*damaged after it was written/,
    ],
  }
  beforeAll(async () => {
    await writeFile(at('bad.json'), '{"name": "x",}')
    await cp(at('pictures'), at('broken'), { recursive: true })
    await writeFile(at('broken/disc/zz.png'), 'no picture')
    await cp(at('straight'), at('damaged'), { recursive: true })
    const file = at(checkpoint('damaged', 'diffusion', steps), 'ema.safetensors')
    const bytes = await readFile(file)
    bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000)
    await writeFile(file, bytes)
  })
  test.each(Object.entries(cases))('%s', async (_, [args, message]) => {
    const before = await stateOf('.')
    const { code, err, out } = await place().here(args())
    expect(err).toMatch(message)
    expect(err.match(/^ {2}expected /gm)).toHaveLength(1)
    expect(err).not.toMatch(/^\s+at .*:\d+/m)
    expect(err).not.toContain('bug in latentgraph')
    expect({ code: code === 1 || code === 2, out }).toEqual({ code: true, out: '' })
    expect(await stateOf('.')).toEqual(before)
  })

  const otherSeed = ['--set', '/seed=4']
  test('a run of another seed is not resumed', async () => {
    const { code, err } = await train('damaged', ['--resume', ...otherSeed])
    expect(err).toMatch(/experiment\.json: \/seed\n {2}expected \d+, as the run had\n {2}got {6}4/)
    expect(code).toBe(1)
  })
  test('what is not resumed is left as it was', async () => {
    await goOn('damaged', ...otherSeed)
    expect(await hash(at('damaged/experiment.json'))).toBe(await hash(at('straight/experiment.json')))
  })
})

test('training, sampling and importing leave nothing in the home, the cache and the temporary folder', async () => {
  expect(await place().leftOutside()).toEqual([])
})

describe('a run has one owner and one identity', () => {
  test('of two that are begun at once in one folder one is told of the other', async () => {
    const both = await Promise.all([train('twice'), train('twice')])
    const [done, refused] = both.toSorted((a, b) => (a.code ?? 9) - (b.code ?? 9))
    expect([done?.code, refused?.code], refused?.err).toEqual([0, 1])
    expect(refused?.err).toMatch(
      /^twice\n {2}expected a folder that no other process works in\n {2}got {6}process \d+/m,
    )
    expect(await product('twice')).toEqual(await product('straight'))
  })
  test('pictures that changed are refused by name, and nothing of the run changes', async () => {
    await cp(at('pictures'), at('renamed'), { recursive: true })
    await rename(at('renamed/disc'), at('renamed/circle'))
    const before = await filesOf('twice')
    const { code, err } = await goOn('twice', '--set', pictures(at('renamed')))
    expect(err).toContain('got      classes renamed: "disc" -> "circle"')
    expect(code).toBe(1)
    expect(await filesOf('twice')).toEqual(before)
  })
  test('a damaged checkpoint is passed over, both are named, and the end is the same', async () => {
    const { code, err } = await goOn('damaged')
    expect(err).toMatch(/step-00000012\/ema\.safetensors[\s\S]*going on from step 8 instead/)
    expect(code, err).toBe(0)
    expect(await product('damaged')).toEqual(await product('straight'))
  })
  test('a run goes on with a lower rate and more steps, and says so; its first stage no more once diffusion has begun', async () => {
    const rate = '/diffusion/training/learningRate/rate=1e-4'
    const more = ['--set', rate, '--set', '/diffusion/training/steps=14', '--set', '/diffusion/training/clipNorm=1']
    const { code, err } = await goOn('twice', ...more)
    expect(err).toContain('/diffusion/training/learningRate/rate: 0.001 until here, 0.0001 from here on')
    expect(err).toContain('/diffusion/training/clipNorm: nothing until here, 1 from here on')
    expect(code, err).toBe(0)
    expect(await readdir(at('twice/diffusion/checkpoints'))).toEqual(['step-00000012', 'step-00000014'])
    const late = await goOn('twice', ...more, '--set', '/firstStage/training/steps=20')
    expect(late.err).toMatch(/^\/firstStage\/training\/steps\n {2}expected 12, as the run had/m)
    const fewer = await goOn('twice', '--set', rate, '--set', '/diffusion/training/clipNorm=1')
    expect(fewer.err).toMatch(/^\/diffusion\/training\/steps\n {2}expected at least 14, which are done\n {2}got {6}12/m)
  })
})
