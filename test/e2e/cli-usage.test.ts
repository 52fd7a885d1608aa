import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { execute } from '../../src/cli/terminal.ts'
import { running } from '../command-line.ts'

const at = (path: string): string => join(import.meta.dirname, '../..', path)
const emoji = at('graphs/emoji.json')
const state = { folder: '' }
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-cli-'))
})
afterAll(() => rm(state.folder, { recursive: true }))

describe('a command line that cannot be understood', () => {
  it.each([
    [['chek'], 'did you mean check?'],
    [['check', '--jsn', 'x'], 'did you mean --json?'],
    [['check'], "missing required argument 'file'"],
    [['check', 'a', 'b'], 'too many arguments'],
    [['train', emoji, '--set', 'seed=7'], 'expected /json/pointer=value'],
    [['train', emoji, '--resume', '--out', '/nowhere/at/all'], 'expected a run to go on with'],
    [['sample', 'x'], '--out <path>'],
    [['sample', 'x', '--out', 'a.bmp'], 'such as a.png'],
    [['sample', 'x', '--out', 'a'], '.png | .jpg | .jpeg | .webp'],
    [['sample', 'x', '--out', 'my run.gif'], "such as 'my run.png'"],
    [['sample', 'x', '--out', at('graphs')], 'such as'],
    [['sample', 'x', '--out', 'a.png', '--out', 'b.png'], "'--out <path>' is given twice: a.png, b.png"],
    [['sample', 'x', '--out', 'a.png', '--eta', '1.5'], 'a number from 0 to 1'],
    [['train', emoji, '--executor', 'onnx:cpu', '--set', '/executor=auto'], 'name an executor each'],
    [['check', emoji, '--set', '/seed=1e400'], 'got      1e400'],
    [['serve', 'x', '--port', '70000'], 'a port from 0 to 65535'],
    [['serve', 'nowhere'], 'the folder of a run'],
    [['sample', 'x', '--out', 'a.png', '--steps', '0'], 'whole number of at least 1'],
    [['sample', 'x', '--out', 'a.png', '--sampler', 'ddmi'], 'ddim, ddpm'],
    [['evaluate', 'x', '--count', '0'], 'whole number of at least 1'],
    [['evaluate', 'x', '--bits-per-dim', '1'], 'whole number of at least 2'],
    [['evaluate', 'x', '--spacing', 'karas'], 'karras'],
    [['conformance'], '--fixtures <dir>'],
    [[], 'Usage: latentgraph'],
  ])('%j', async (args, message) => {
    const { code, out, err } = await running(...args)
    expect(code).toBe(2)
    expect(err.toLowerCase()).toContain(message.toLowerCase())
    expect(out).toBe('')
    expect(err).not.toMatch(/^\s+at .*:\d+/m)
  })
})

describe('bad input', () => {
  const failing = async (...args: readonly string[]) => {
    const { code, out, err } = await running(...args)
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(err).not.toMatch(/^\s+at .*:\d+/m)
    return err
  }
  const written = async (name: string, text: string): Promise<string> => {
    const path = join(state.folder, name)
    await writeFile(path, text)
    return path
  }

  it('names the file, line and column of broken JSON', async () => {
    const path = await written('broken.json', '{\n  "name": \n}')
    expect(await failing('check', path)).toContain(`${path}:3:1\n  expected a JSON document`)
  })

  it('reports every wrong field of an experiment, with hints', async () => {
    const path = await written(
      'wrong.json',
      '{"name": 1, "dta": {}, "data": {"kind": "emojis"}, "firstStage": {"kind": "kl"}}',
    )
    const err = await failing('check', path)
    for (const part of ['/name\n', '/dta\n', 'did you mean "data"?', '/data/kind\n', 'did you mean "emoji"?'])
      expect(err).toContain(part)
  })

  it('reports fields that do not fit each other', async () => {
    const err = await failing('train', emoji, '--set', '/diffusion/unet/heads/channels=48', '--set', '/data/size=36')
    expect(err).toContain('/diffusion/unet/heads/channels\n')
    expect(err).toContain('/firstStage/network/resolution\n')
  })

  it('says which files are missing', async () => {
    expect(await failing('check', join(state.folder, 'none.json'))).toContain('none.json')
    const { code, err } = await running('sample', state.folder, '--out', 'a.png')
    expect([code, err]).toEqual([2, expect.stringContaining('expected the folder of a run')])
    expect(await failing('check', emoji, '--set', '/data={"kind":"folder","path":"no-such-folder"}')).toContain(
      'no-such-folder',
    )
  })

  it('says where no picture can be written before it draws one', async () => {
    const file = await written('broken.json', '{')
    const err = await failing('sample', state.folder, '--out', join(file, 'new', 'a.png'))
    expect(err).toContain('a file that can be written')
    expect(err).not.toContain('experiment.json')
  })

  it('says what to install for an executor that cannot run here, once, before anything else', async () => {
    const said =
      "  hint     python3 -m venv VENV && VENV/bin/pip install 'tensorflow[and-cuda]', then: latentgraph setup tensorflow"
    const out = join(state.folder, 'run')
    for (const args of [
      ['train', at('graphs/tiny.json'), '--out', out],
      ['conformance', '--fixtures', at('test/golden/fixtures')],
    ])
      expect((await failing(...args, '--executor', 'tfjs:node-gpu')).split(said)).toHaveLength(2)
    expect(await failing('train', emoji, '--out', out, '--executor', 'tfjs:gpu')).toContain('did you mean "tfjs:cpu"?')
  })

  it('names settings that later ones replace', async () => {
    const err = await failing(
      'check',
      emoji,
      '--set',
      '/seed=1',
      '--set',
      '/data/size=9',
      '--set',
      '/data={}',
      '--set',
      '/seed=-1',
    )
    expect(err).toContain('--set /seed=1 is not used: --set /seed=-1 comes later\n')
    expect(err).toContain("--set /data/size=9 is not used: --set '/data={}' comes later\n")
  })

  it('leaves no file behind', async () => {
    expect(await readdir(state.folder)).toEqual(['broken.json', 'wrong.json'])
  })
})

describe('results', () => {
  it('prints help and version on standard output', async () => {
    expect(await running('--version')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      err: '',
    })
    for (const command of [
      'start',
      'check',
      'train',
      'sample',
      'evaluate',
      'doctor',
      'setup',
      'schema',
      'conformance',
    ]) {
      const { code, out, err } = await running(command, '--help')
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out).toContain(`Usage: latentgraph ${command}`)
    }
  })

  it('prints a JSON Schema', async () => {
    const { code, out } = await running('schema')
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema' })
  })

  it('check prints a table of blocks', async () => {
    const { code, out } = await running('check', emoji, '--set', '/data/categories=["Objects"]')
    expect(code).toBe(0)
    for (const part of [
      'first-stage',
      'diffusion',
      'encoder.conv_in',
      '16x3x3x3',
      'input_blocks.0',
      'peak memory',
      'nothing found',
    ])
      expect(out).toContain(part)
  })

  it('check --json gives every parameter by section', async () => {
    const { code, out } = await running('check', emoji, '--json')
    expect(code).toBe(0)
    const report = JSON.parse(out)
    expect(report.parameters.first_stage['encoder.conv_in.weight']).toEqual([16, 3, 3, 3])
    expect(report.parameters.unet['input_blocks.0.0.weight']).toEqual([64, 4, 3, 3])
    expect(report.parameters.unet['label_emb.weight']).toEqual([9, 256])
    expect(report.lint).toEqual([])
    for (const section of ['first_stage', 'unet']) {
      const { forwardFlops, stepFlops, peakBytes } = report.cost[section]
      expect(forwardFlops).toBeGreaterThan(1e9)
      expect(stepFlops).toBeGreaterThan(2 * forwardFlops)
      expect(stepFlops).toBeLessThan(4 * forwardFlops)
      expect(peakBytes).toBeGreaterThan(1e7)
    }
  })

  it('check reads published models, declared or as CompVis writes them', async () => {
    const declared = await running('check', at('graphs/published/kl-f4.json'), '--json')
    const imported = await running('check', at('test/golden/manifests/first_stage_models__kl-f4.json'), '--json')
    expect([declared.code, imported.code]).toEqual([0, 0])
    expect(imported.out).toBe(declared.out)
    const { parameters, cost } = JSON.parse(declared.out)
    expect(parameters.model['loss.discriminator.main.3.running_var']).toEqual([128])
    expect(cost.model.forwardFlops).toBeGreaterThan(1e11)
  })

  it('check names the parts of a published model that are not built', async () => {
    const { code, out } = await running('check', at('graphs/published/text2img256.json'))
    expect(code).toBe(0)
    expect(out).toContain('cond_stage: not built, ldm.modules.encoders.modules.BERTEmbedder')
  })

  it('check counts what a published model has once, however often it is used', async () => {
    const { out } = await running('check', at('graphs/published/kl-f8.json'))
    expect(out).toMatch(/loss\.discriminator\.main\.5 +524,288 +256x128x4x4\n/)
  })

  it('check refuses a published configuration with a wrong target', async () => {
    const path = at('test/golden/manifests/first_stage_models__kl-f4.json')
    const { code, err } = await running('check', path, '--set', '/model/target=ldm.models.autoencoder.AutoencoderKl')
    expect(code).not.toBe(0)
    expect(err).toContain('did you mean "ldm.models.autoencoder.AutoencoderKL"?')
  })

  it('doctor says what can run here', async () => {
    vi.stubEnv('XDG_CONFIG_HOME', state.folder)
    const { code, out } = await running('doctor')
    vi.unstubAllEnvs()
    expect(code).toBe(0)
    for (const part of [
      'latentgraph',
      'node',
      'onednn',
      'onnx:cpu',
      'onnx:webgpu',
      'tfjs:node-gpu',
      'tfjs:wasm',
      'auto',
    ])
      expect(out).toContain(part)
  })
})

describe('a bug', () => {
  const thrown = async (debug: string) => {
    const texts: string[] = []
    process.env.LATENTGRAPH_DEBUG = debug
    const code = await execute({ out: () => {}, err: (text) => texts.push(text) }, () =>
      Promise.reject(new Error('oops\nmore')),
    )
    delete process.env.LATENTGRAPH_DEBUG
    return { code, err: texts.join('') }
  }

  it('is one line that asks for a report, the stack on demand', async () => {
    expect(await thrown('')).toEqual({
      code: 1,
      err: 'a bug in latentgraph: oops, please report (LATENTGRAPH_DEBUG=1 shows where)\n',
    })
    expect((await thrown('1')).err).toMatch(/^\s+at .*:\d+/m)
  })
})
