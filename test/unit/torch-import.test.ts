import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cli } from '../../src/cli/program.ts'
import { type Errors, showErrors } from '../../src/error.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { checkpointsIn, loadCheckpoint } from '../../src/io/checkpoint.ts'
import { keyIn, loadReport, showLoadReport, strictly } from '../../src/io/load-report.ts'
import { encodeSafetensors } from '../../src/io/safetensors-writer.ts'
import type { StoredArray, StoredArrays } from '../../src/io/stored.ts'
import { E, pipe } from '../../src/prelude.ts'
import { openRun } from '../../src/run/trained-run.ts'
import { modelParameters, type Plan, planExperiment } from '../../src/train/plan.ts'
import { called, global, text, torchStateDict } from './torch-pickles.ts'

const value = <A>(result: E.Either<Errors, A>): A =>
  E.isRight(result) ? result.right : expect.unreachable(showErrors(result.left))
const floats = (shape: readonly number[], from = 0): StoredArray => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => from + i / 1000),
})

describe('load report', () => {
  const wanted = [
    { name: 'a.w', key: 'model.a.w', shape: [2, 3] },
    { name: 'a.b', key: 'model.a.b', shape: [2] },
  ]
  const whole = { 'model.a.w': floats([2, 3]), 'model.a.b': floats([2]) }

  it('a file that agrees', () => {
    const report = value(loadReport(wanted, whole))
    expect(report).toMatchObject({ loaded: wanted, missing: [], unexpected: [], misshaped: [], ignored: [], kept: [] })
    expect(E.isRight(strictly('f')(report))).toBe(true)
  })
  it('everything that can be amiss, in numbers and by name', () => {
    const report = value(loadReport(wanted, { 'model.a.w': floats([3, 2]), 'loss.x': floats([1]) }))
    expect(report.missing.map(({ key }) => key)).toEqual(['model.a.b'])
    expect(report.misshaped.map(({ key }) => key)).toEqual(['model.a.w'])
    expect(report.unexpected).toEqual(['loss.x'])
    expect(strictly('f')(report)).toMatchObject({ left: [{ got: '1 missing, 1 misshaped, 1 unexpected' }] })
    expect(showLoadReport(report)).toContain('model.a.w [2, 3], in the file float32[3, 2]')
  })
  it('integers are no parameters', () => {
    const ids: StoredArray = { dtype: 'int32', shape: [2], data: Int32Array.of(1, 2) }
    expect(value(loadReport(wanted, { ...whole, 'model.a.b': ids })).misshaped).toHaveLength(1)
  })
  it('ignored keys are left alone, and what they would have filled keeps its initial value', () => {
    const report = value(loadReport(wanted, { ...whole, 'loss.x': floats([1]) }, ['loss.', 'model.a.b']))
    expect(report).toMatchObject({
      ignored: ['model.a.b', 'loss.x'],
      kept: [{ name: 'a.b' }],
      loaded: [{ name: 'a.w' }],
    })
    expect(E.isRight(strictly('f')(report))).toBe(true)
  })
  it('a prefix that nothing begins with is an error', () =>
    expect(loadReport(wanted, whole, ['model', 'los'])).toMatchObject({ left: [{ tag: 'usage', got: '"los"' }] }))
  describe('the hint on what is too much', () => {
    const unet = { name: 'u', key: 'model.diffusion_model.out.weight', shape: [2] }
    const hintOf = (found: StoredArrays, ...ignored: readonly string[]): string | undefined => {
      const strict = pipe(
        loadReport([...wanted, unet], { ...whole, [unet.key]: floats([2]), ...found }, ignored),
        E.flatMap(strictly('f')),
      )
      return E.isLeft(strict) ? strict.left[0].hint : 'agrees'
    }
    const given = (hint = ''): readonly string[] =>
      [...hint.matchAll(/--ignore-keys (?:'([^']*)'|(\S+))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')

    it.each([
      [
        'beside what is wanted',
        { 'model.diffusion_model.label_emb.weight': floats([1]) },
        ['model.diffusion_model.label_emb'],
      ],
      ['where a wanted name begins alike', { 'model.diff.w': floats([1]) }, ['model.diff.']],
      ['of several kinds', { 'loss.a.b': floats([1]), 'loss.c': floats([1]), 'cond.x': floats([1]) }, ['loss', 'cond']],
      ['with blanks', { 'my loss.a': floats([1]) }, ['my loss']],
      ['without a dot', { betas: floats([1]) }, ['betas']],
    ])('%s, when followed, leaves all that is wanted', (_, found, prefixes) => {
      expect(given(hintOf(found))).toEqual(prefixes)
      expect(hintOf(found, ...prefixes)).toBe('agrees')
      expect(
        value(loadReport([...wanted, unet], { ...whole, [unet.key]: floats([2]), ...found }, prefixes)).kept,
      ).toEqual([])
    })
    it('there is none where it would not help', () => {
      expect(hintOf({ 'model.diffusion_model.out.weight': floats([3]), 'loss.a': floats([1]) })).toBeUndefined()
      expect(hintOf({ model: floats([1]) })).toBeUndefined()
    })
  })
  it('averages have names without dots', () =>
    expect(keyIn({ prefix: 'model_ema.', dotless: true })('out.0.weight')).toBe('model_ema.out0weight'))
  it('names of the language are names like others', () =>
    expect(value(loadReport([{ name: 'x', key: 'constructor', shape: [] }], {})).missing).toHaveLength(1))
})

const training = {
  steps: 2,
  batchSize: 1,
  optimizer: { kind: 'adam' },
  learningRate: { kind: 'constant', rate: 1e-3 },
}
const tiny = {
  name: 'tiny',
  seed: 1,
  data: { kind: 'emoji', size: 8, heldOut: 2 },
  firstStage: {
    kind: 'kl',
    network: {
      inChannels: 3,
      outChannels: 3,
      resolution: 8,
      channels: 32,
      channelMultipliers: [1],
      resBlocks: 1,
      attention: 'none',
      zChannels: 2,
      latentChannels: 2,
    },
    loss: {},
    training,
  },
  diffusion: {
    schedule: { kind: 'linear', timesteps: 10 },
    unet: {
      inChannels: 2,
      outChannels: 2,
      modelChannels: 32,
      channelMultipliers: [1],
      resBlocks: 1,
      attentionFactors: [],
      heads: { by: 'channels', channels: 32 },
    },
    conditioning: { kind: 'none' },
    training: { ...training, emaDecay: 0.9 },
  },
  sampling: { sampler: 'ddim', steps: 2, perClass: 1 },
}

describe('latentgraph import', () => {
  const folder = mkdtempSync(join(tmpdir(), 'latentgraph-import-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const at = (name: string): string => join(folder, name)
  const experiment = at('tiny.json')
  const state: { plan?: Plan } = {}
  beforeAll(async () => {
    writeFileSync(experiment, JSON.stringify(tiny))
    state.plan = value(planExperiment(value(await loadExperiment(experiment)()), 0))
  })

  const under = (stage: Plan['firstStage'] | undefined, key: (name: string) => string, from: number): StoredArrays =>
    Object.fromEntries((stage ? modelParameters(stage) : []).map(({ name, shape }) => [key(name), floats(shape, from)]))
  const plain = (prefix: string) => keyIn({ prefix, dotless: false })
  const published = (): StoredArrays => {
    const betas = state.plan?.diffusion?.model.process.schedule?.betas ?? []
    return {
      ...under(state.plan?.firstStage, plain('first_stage_model.'), 1),
      ...under(state.plan?.diffusion, plain('model.diffusion_model.'), 2),
      ...under(state.plan?.diffusion, keyIn({ prefix: 'model_ema.diffusion_model', dotless: true }), 3),
      betas: { dtype: 'float32', shape: [betas.length], data: Float32Array.from(betas) },
      scale_factor: { dtype: 'float32', shape: [], data: Float32Array.of(0.5) },
      'model_ema.decay': floats([]),
    }
  }
  const file = (name: string, arrays: StoredArrays): string => {
    writeFileSync(at(name), value(encodeSafetensors(arrays)))
    return at(name)
  }
  const running = async (...args: readonly string[]) => {
    const texts = { out: '', err: '' }
    const code = await cli(['import', ...args, '--into', experiment], {
      out: (text) => {
        texts.out += text
      },
      err: (text) => {
        texts.err += text
      },
    })
    return { code, ...texts }
  }
  const newest = async (dir: string) => {
    const [found] = value(await checkpointsIn(join(dir, 'checkpoints'))())
    return value(await loadCheckpoint(found?.path ?? expect.unreachable('no checkpoint'))())
  }

  it('latent diffusion: both stages and the average, ready to sample', async () => {
    const { code, out, err } = await running(file('ldm.safetensors', published()), '--out', at('run'))
    expect(err).toContain('loaded')
    expect({ code, out }).toEqual({ code: 0, out: `${at('run')}\n` })
    const run = value(await openRun(at('run'))())
    expect(run.scale).toBe(0.5)
    expect(run.experiment.diffusion?.latentScale).toEqual({ kind: 'fixed', value: 0.5 })
    expect(run.firstStage['decoder.conv_out.bias']?.data[0]).toBe(1)
    expect(run.diffusion['input_blocks.0.0.weight']?.data[0]).toBe(2)
    expect(run.diffusion['ema.shadow.input_blocks.0.0.weight']?.data[0]).toBe(3)
    expect((await newest(at('run/diffusion'))).step).toBe(training.steps)
  })

  it('a first stage by itself, to train on from', async () => {
    const { code } = await running(
      file('kl.safetensors', { ...under(state.plan?.firstStage, plain(''), 4), 'loss.logvar': floats([]) }),
      ...['--ignore-keys', 'loss', '--fine-tune', '--out', at('tuned')],
    )
    expect(code).toBe(0)
    expect(existsSync(at('tuned/diffusion'))).toBe(false)
    const { step, groups } = await newest(at('tuned/first-stage'))
    expect(step).toBe(0)
    expect(groups.parameters?.['encoder.conv_in.bias']?.data[0]).toBe(4)
    expect(groups.optimizer?.['m.encoder.conv_in.bias']?.data[0]).toBe(0)
  })

  it('a first stage whose perceptual weights lie in files of their own, with them or without', async () => {
    const perceptual = [
      ...['/data/size=16', '/firstStage/network/resolution=16'],
      '/firstStage/loss/perceptual={"weight":1,"files":["vgg.pth"]}',
    ].flatMap((set) => ['--set', set])
    const plan = value(
      planExperiment(
        value(
          await loadExperiment(
            experiment,
            perceptual.filter((s) => s !== '--set'),
          )(),
        ),
        0,
      ),
    )
    const whole = under(plan.firstStage, plain(''), 4)
    const own = Object.fromEntries(Object.entries(whole).filter(([name]) => !name.startsWith('loss.perceptual_loss.')))
    expect(Object.keys(whole).length - Object.keys(own).length).toBe(2 + 26 + 5)
    for (const [name, arrays] of Object.entries({ whole, own })) {
      const { code, err } = await running(file(`${name}.safetensors`, arrays), '--out', at(name), ...perceptual)
      expect(code, err).toBe(0)
      expect(err).toContain(`loaded: ${Object.keys(arrays).length} arrays`)
    }
  })

  it('what was wrapped for training: what its names were wrapped in is stripped, and said', async () => {
    const wrapped = Object.fromEntries(
      Object.entries(published()).map(([name, array]) => [
        name.startsWith('model.') ? name.replace('model.', 'module.model._orig_mod.') : `module.${name}`,
        array,
      ]),
    )
    const { code, err } = await running(file('wrapped.safetensors', wrapped), '--out', at('wrapped'))
    expect(code, err).toBe(0)
    expect(err).toContain(`module. stripped off ${Object.keys(wrapped).length} names`)
    expect(err).toContain('_orig_mod. stripped off')
    const run = value(await openRun(at('wrapped'))())
    expect(run.scale).toBe(0.5)
    expect(run.diffusion['ema.shadow.input_blocks.0.0.weight']?.data[0]).toBe(3)
  })

  it('a trainer of its own: what is offered imports, with anything beside it', async () => {
    const arrays = Object.entries(under(state.plan?.firstStage, (name) => `module._orig_mod.${name}`, 5)).map(
      ([name, { shape, data }]) => [name, { shape, data: Float32Array.from<number | bigint>(data, Number) }] as const,
    )
    const options = called(global('argparse', 'Namespace'))
    writeFileSync(
      at('own.pt'),
      torchStateDict(arrays, { under: 'model_state_dict', beside: [[text('args'), options]] }),
    )
    const offered = await running(at('own.pt'), '--out', at('trainer'))
    expect(offered.code).toBe(1)
    const [, from = ''] = /--from (\S+)/.exec(offered.err) ?? []
    const { code, err } = await running(at('own.pt'), '--from', from, '--out', at('trainer'))
    expect(code, err).toBe(0)
    expect(err).toContain('argparse Namespace')
    expect(err).toContain(`_orig_mod. stripped off ${arrays.length} names`)
    expect((await newest(at('trainer/first-stage'))).groups.parameters?.['encoder.conv_in.bias']?.data[0]).toBe(5)
  })

  it.each([
    ['vae', () => under(state.plan?.firstStage, plain('vae.'), 1)],
    [
      'net.ldm',
      () => Object.fromEntries(Object.entries(published()).map(([name, array]) => [`net.ldm.${name}`, array])),
    ],
  ])('a model under a name of its own, %s: the hint finds it', async (from, arrays) => {
    const path = file('deeper.safetensors', { ...arrays(), 'metric.weight': floats([1]) })
    const { code, err } = await running(path, '--out', at(from))
    expect(code).toBe(1)
    expect(/--from (\S+)/.exec(err)?.[1]).toBe(from)
    const followed = await running(path, '--from', from, '--out', at(from))
    expect(followed.code, followed.err).toBe(0)
  })

  it('numbers that are not finite: refused by name before anything is written', async () => {
    const broken = (x: number): StoredArray => ({
      dtype: 'float32',
      shape: [32],
      data: new Float32Array(32).fill(x, 3, 5),
    })
    const { code, out, err } = await running(
      file('nan.safetensors', {
        ...published(),
        'first_stage_model.encoder.conv_in.bias': broken(Number.NaN),
        'model.diffusion_model.input_blocks.0.0.bias': broken(-Infinity),
      }),
      ...['--out', at('nan')],
    )
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain('first_stage_model.encoder.conv_in.bias (2 of 32)')
    expect(err).toContain('model.diffusion_model.input_blocks.0.0.bias (2 of 32)')
    expect(existsSync(at('nan'))).toBe(false)
  })

  it('a type that is not known matters only where its array is wanted', async () => {
    const bytes = value(encodeSafetensors({ ...published(), 'loss.x': floats([1]) }))
    const odd = (name: string): string => {
      const text = Buffer.from(bytes).toString('latin1')
      const at4 = text.indexOf('"dtype":"F32"', text.indexOf(JSON.stringify(name)))
      writeFileSync(
        at('odd.safetensors'),
        Buffer.from(`${text.slice(0, at4)}"dtype":"F99"${text.slice(at4 + 13)}`, 'latin1'),
      )
      return at('odd.safetensors')
    }
    const beside = await running(odd('loss.x'), '--ignore-keys', 'loss', '--out', at('beside'))
    expect(beside.code, beside.err).toBe(0)
    const within = await running(
      odd('model.diffusion_model.out.2.bias'),
      '--ignore-keys',
      'loss',
      '--out',
      at('within'),
    )
    expect(within.code).toBe(1)
    expect(within.err).toContain('model.diffusion_model.out.2.bias [2], in the file F99[2]')
  })

  it('a stage that is ignored whole is left to be trained; a part of one needs --fine-tune', async () => {
    const path = file('both.safetensors', published())
    const first = await running(path, '--ignore-keys', 'model', '--out', at('first'))
    expect(first.code, first.err).toBe(0)
    expect(first.err).toContain('both.safetensors: first-stage\n')
    expect(first.err).toContain('train')
    expect(existsSync(at('first/diffusion'))).toBe(false)
    const part = ['--ignore-keys', 'model.diffusion_model.out', '--ignore-keys', 'model_ema']
    const refused = await running(path, ...part, '--out', at('part'))
    expect(refused.code).toBe(2)
    expect(refused.err).toContain('--fine-tune')
    expect(existsSync(at('part'))).toBe(false)
    expect((await running(path, ...part, '--fine-tune', '--out', at('part'))).code).toBe(0)
  })

  it('what to do next can be pasted, whatever the folder is called', async () => {
    const { err } = await running(file('ldm.safetensors', published()), '--out', at("a b's"))
    expect(err).toContain(`npx latentgraph sample '${at('a b')}'\\''s' --out samples.png`)
  })

  it("the help's experiments exist", async () => {
    const { out } = await running('--help')
    const named = [...out.matchAll(/graphs\/\S+\.json/g)].map(([path]) => path)
    expect(named.length).toBeGreaterThan(0)
    expect(named.filter((path) => !existsSync(join(import.meta.dirname, '../..', path)))).toEqual([])
  })

  it.each([
    ['an array too many', { 'cond_stage_model.w': floats([1]) }, '--ignore-keys cond_stage_model'],
    ['another schedule', { betas: floats([10], 0.1) }, '/diffusion/schedule'],
    ['another shape', { 'first_stage_model.encoder.conv_in.bias': floats([7]) }, 'F32[7]'],
  ])('%s: nothing is written', async (_, change, message) => {
    const { code, out, err } = await running(file('odd.safetensors', { ...published(), ...change }), '--out', at('odd'))
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain(message)
    expect(existsSync(at('odd'))).toBe(false)
  })

  it('another model altogether, and a hostile file', async () => {
    const fixtures = join(import.meta.dirname, '../golden/fixtures/checkpoint')
    const other = await running(join(fixtures, 'zip_lightning.ckpt'), '--out', at('odd'))
    expect(other.err).toContain('encoder.conv_in.weight')
    const hostile = await running(join(fixtures, 'hostile_zip_os_system.ckpt'), '--out', at('odd'))
    expect(hostile.err).toContain('posix system')
    expect([other.code, hostile.code, existsSync(at('odd'))]).toEqual([1, 1, false])
  })
})
