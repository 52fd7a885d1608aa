import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { autoencoderOf } from '../../src/experiment/document.ts'
import { experimentSchema, experimentSchemaText, withDefinitions } from '../../src/experiment/json-schema.ts'
import { parseJsonText } from '../../src/experiment/json-text.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { applySettings, parseSetting } from '../../src/experiment/settings.ts'
import { E } from '../../src/prelude.ts'
import { publishedModel } from '../../src/published/document.ts'

const training = {
  steps: 100,
  batchSize: 4,
  optimizer: { kind: 'adam' },
  learningRate: { kind: 'warm-up', rate: 1e-3, warmUp: 10 },
}
const whole = {
  name: 'small',
  data: { kind: 'emoji', size: 32 },
  firstStage: {
    kind: 'kl',
    network: {
      inChannels: 3,
      outChannels: 3,
      resolution: 32,
      channels: 32,
      resBlocks: 1,
      latentChannels: 4,
      zChannels: 4,
      channelMultipliers: [1, 2, 4],
      attentionResolutions: [16],
    },
    loss: {},
    training,
  },
  diffusion: {
    schedule: { kind: 'linear' },
    unet: {
      inChannels: 4,
      outChannels: 4,
      modelChannels: 64,
      resBlocks: 1,
      channelMultipliers: [1, 2],
      attentionFactors: [2],
      heads: { by: 'count', count: 4 },
    },
    conditioning: { kind: 'class' },
    training,
  },
  sampling: { guidance: 2.5 },
}

const errorsOf = (result: E.Either<readonly { at: string }[], unknown>): readonly string[] =>
  E.isLeft(result) ? result.left.map(({ at }) => at) : []
const decodedWith = (...sets: readonly string[]) => {
  const settings = sets.map((s) => {
    const parsed = parseSetting(s)
    if (E.isLeft(parsed)) throw new Error(s)
    return parsed.right
  })
  const document = applySettings(settings)(whole)
  return E.isLeft(document) ? document : decodeExperiment(document.right)
}

describe('cross checks', () => {
  it('accepts an experiment whose parts fit', () => {
    expect(errorsOf(decodedWith())).toEqual([])
  })

  const alone: readonly (readonly [set: string, at: string])[] = [
    ['/firstStage/network/inChannels=1', '/firstStage/network/inChannels'],
    ['/firstStage/network/outChannels=4', '/firstStage/network/outChannels'],
    ['/firstStage/network/resolution=64', '/firstStage/network/resolution'],
    ['/firstStage/network/channels=48', '/firstStage/network/channels'],
    ['/firstStage/network/attentionResolutions=[16,12]', '/firstStage/network/attentionResolutions/1'],
    ['/firstStage/network/doubleZ=false', '/firstStage/network/doubleZ'],
    ['/firstStage/network/givePreEnd=true', '/firstStage/network/givePreEnd'],
    ['/firstStage/training/learningRate/warmUp=101', '/firstStage/training/learningRate/warmUp'],
    [
      '/firstStage/training/learningRate={"kind":"one-cycle","rate":1e-3,"rise":0.01}',
      '/firstStage/training/learningRate/rise',
    ],
    [
      '/diffusion/training/learningRate={"kind":"polynomial","rate":1e-3,"warmUp":101}',
      '/diffusion/training/learningRate/warmUp',
    ],
    ['/diffusion/training/validate={"every":101}', '/diffusion/training/validate/every'],
    ['/diffusion/training/postHocEma={"sigmaRel":[0.1,0.1]}', '/diffusion/training/postHocEma/sigmaRel'],
    ['/diffusion/training/postHocEma={"sigmaRel":[0.3]}', '/diffusion/training/postHocEma/sigmaRel/0'],
    ['/firstStage/training/postHocEma={}', '/firstStage/training/postHocEma'],
    ['/firstStage/training/optimizer/betas=[0.9,0.99,0.999]', '/firstStage/training/optimizer/betas'],
    ['/firstStage/training/microBatches=3', '/firstStage/training/microBatches'],
    ['/diffusion/training/microBatches=3', '/diffusion/training/microBatches'],
    ['/diffusion/training/learningRate/warmUp=101', '/diffusion/training/learningRate/warmUp'],
    ['/diffusion/training/optimizer/betas=[0,0,0]', '/diffusion/training/optimizer/betas'],
    ['/diffusion/latents=quantised', '/diffusion/latents'],
    ['/diffusion/unet/inChannels=3', '/diffusion/unet/inChannels'],
    ['/diffusion/unet/outChannels=8', '/diffusion/unet/outChannels'],
    ['/diffusion/unet/channelMultipliers=[1,2,2,2,2]', '/diffusion/unet/channelMultipliers'],
    ['/diffusion/unet/modelChannels=40', '/diffusion/unet/modelChannels'],
    ['/diffusion/unet/attentionFactors=[4]', '/diffusion/unet/attentionFactors/0'],
    ['/diffusion/unet/heads/count=3', '/diffusion/unet/heads/count'],
    ['/diffusion/unet/heads/upsample=5', '/diffusion/unet/heads/upsample'],
    ['/diffusion/unet/heads={"by":"channels","channels":48}', '/diffusion/unet/heads/channels'],
    ['/diffusion/unet/attention={"kind":"transformer","contextDim":8}', '/diffusion/unet/attention/kind'],
    ['/diffusion/unet/classes=8', '/diffusion/unet/classes'],
    ['/diffusion/unet/codebook=16', '/diffusion/unet/codebook'],
    ['/diffusion/schedule/betaEnd=1', '/diffusion/schedule/betaEnd'],
    ['/diffusion/schedule/betaStart=0.5', '/diffusion/schedule/betaStart'],
    ['/diffusion/conditioning={"kind":"none"}', '/sampling/guidance'],
    ['/diffusion/conditioning/dropout=0', '/sampling/guidance'],
    ['/diffusion/conditioning/dropout=1', '/sampling/guidance'],
    ['/sampling/steps=1001', '/sampling/steps'],
    ['/sampling={"sampler":"ddim","spacing":"uniform","steps":999,"guidance":2}', '/sampling/steps'],
    ['/sampling={"sampler":"euler","eta":0}', '/sampling/eta'],
    ['/sampling/eta=1.5', '/sampling/eta'],
    ['/diffusion/schedule/timesteps=1000000000', '/diffusion/schedule/timesteps'],
    ['/firstStage/network/dropout=1', '/firstStage/network/dropout'],
    ['/diffusion/unet/dropout=1', '/diffusion/unet/dropout'],
    ['/firstStage/training/batchSize=1000000000', '/firstStage/training/batchSize'],
    ['/firstStage/network/resBlocks=100000', '/firstStage/network/resBlocks'],
    [`/firstStage/network/channelMultipliers=[${'1,'.repeat(99)}1]`, '/firstStage/network/channelMultipliers'],
    ['/data={"kind":"folder","path":""}', '/data/path'],
  ]
  it.each(alone)('%s is refused', (set, at) => {
    const result = decodedWith(set)
    expect(errorsOf(result)).toEqual([at])
  })

  it('lets those pass that another choice allows', () => {
    expect(errorsOf(decodedWith('/sampling/steps=999', '/sampling/sampler=ddpm'))).toEqual([])
    expect(errorsOf(decodedWith('/diffusion/conditioning={"kind":"none"}', '/sampling/guidance=1'))).toEqual([])
    expect(errorsOf(decodedWith('/diffusion/unet/heads={"by":"channels","channels":32}'))).toEqual([])
  })

  const maps = '/data={"kind":"segmentation","path":"maps","labels":5,"size":32}'
  it('wants a channel a label of a first stage on label maps, and no perceptual distance', () => {
    expect(errorsOf(decodedWith(maps))).toEqual(['/firstStage/network/inChannels', '/firstStage/network/outChannels'])
    const fits = [maps, '/firstStage/network/inChannels=5', '/firstStage/network/outChannels=5']
    expect(errorsOf(decodedWith(...fits))).toEqual([])
    expect(errorsOf(decodedWith(...fits, '/firstStage/loss/perceptual={"weight":1,"files":["vgg.pth"]}'))).toEqual([
      '/firstStage/loss/perceptual/weight',
    ])
  })

  it('refuses pictures that the first stage cannot halve, without blaming the levels below', () => {
    expect(errorsOf(decodedWith('/data/size=30', '/firstStage/network/resolution=30'))).toEqual(['/data/size'])
  })

  it('reports all problems at once', () => {
    expect(
      errorsOf(decodedWith('/firstStage/network/channels=48', '/diffusion/unet/heads/count=3', '/sampling/steps=1001')),
    ).toEqual(['/firstStage/network/channels', '/diffusion/unet/heads/count', '/sampling/steps'])
  })
})

describe('settings', () => {
  const reading = (text: string): unknown => {
    const parsed = parseSetting(text)
    return E.isRight(parsed) ? parsed.right.value : undefined
  }

  it('reads values as JSON, else as strings', () => {
    expect(reading('/a=1e-3')).toBe(0.001)
    expect(reading('/a=[1,2]')).toEqual([1, 2])
    expect(reading('/a=onnx:cpu')).toBe('onnx:cpu')
    expect(reading('/a=x=y')).toBe('x=y')
    expect(reading('/a="1"')).toBe('1')
  })

  it.each(['a=1', '/a', '=1', '', '/a~2=1'])('refuses %j', (text) => {
    expect(E.isLeft(parseSetting(text))).toBe(true)
  })

  it('makes missing sections, and says which keys there are when the section is none', () => {
    expect(errorsOf(decodedWith('/sampling/steps=20'))).toEqual([])
    const result = decodedWith('/smapling/steps=20')
    expect(E.isLeft(result) && result.left).toMatchObject([{ at: '/smapling', hint: 'did you mean "sampling"?' }])
  })

  it('refuses to go through a value or past the end of a list', () => {
    expect(errorsOf(decodedWith('/name/first=x'))).toEqual(['--set /name/first'])
    expect(errorsOf(decodedWith('/firstStage/network/channelMultipliers/4=1'))).toEqual([
      '--set /firstStage/network/channelMultipliers/4',
    ])
  })

  it('appends to a list', () => {
    const result = decodedWith('/firstStage/network/attentionResolutions/-=8')
    expect(E.isRight(result) && autoencoderOf(result.right)?.network.attentionResolutions).toEqual([16, 8])
  })

  it('law: what is set is what stands there, everything else stays', () => {
    const key = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'a/b', '~', '~1', '0'))
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.jsonValue()),
        key.filter((k) => !k.includes('=')),
        fc.jsonValue(),
        (doc, k, v) => {
          const pointer = `/${k.replaceAll('~', '~0').replaceAll('/', '~1')}`
          const parsed = parseSetting(`${pointer}=${JSON.stringify(v)}`)
          if (E.isLeft(parsed)) throw new Error('a pointer was refused')
          const expected = JSON.parse(JSON.stringify(v))
          const after = applySettings([parsed.right])(doc)
          const others = Object.entries(doc).filter(([name]) => name !== k)
          expect(E.isRight(after) && new Map(Object.entries(Object(after.right)))).toEqual(
            new Map([...others, [k, expected]]),
          )
        },
      ),
    )
  })
})

describe('JSON text', () => {
  it.each([
    ['{\n  "a": 1\n  "b": 2\n}', 'f:3:3'],
    ['{"a":', 'f:1:6'],
    ['', 'f:1:1'],
    ['{"a": [1,]}', 'f:1:10'],
    ['{} x', 'f:1:4'],
    ['{"a": 1,\n "a": 2}', 'f:2:2'],
    ['{"a": [1,\n 1e400]}', 'f:2:2'],
    ['[1e-400]', 'f:1:2'],
    ['9007199254740993', 'f:1:1'],
  ])('%j is refused where it goes wrong', (text, at) => {
    expect(errorsOf(parseJsonText(text, 'f'))).toEqual([at])
  })

  it('says a number that is out of reach as it was written, and where', () => {
    const refused = parseJsonText('{"sampling": {"e/ta": -1E+400}}', 'f')
    expect(refused).toMatchObject({
      left: [{ at: 'f:1:23', expected: 'a number that 64-bit floats have, at /sampling/e~1ta', got: '-1E+400' }],
    })
    expect(parseSetting('/seed=1e400')).toMatchObject({ left: [{ tag: 'usage', at: '--set /seed:1:1', got: '1e400' }] })
    expect(parseJsonText('[0, -0, 0e-999, 1e300, 0.1, 9007199254740992]', 'f')).toEqual(
      E.right([0, -0, 0, 1e300, 0.1, 9007199254740992]),
    )
  })

  it('law: reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        expect(parseJsonText(text, 'f')).toEqual(E.right(JSON.parse(text)))
      }),
    )
  })
})

describe('loadExperiment', () => {
  const state = { folder: '' }
  beforeAll(async () => {
    state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-load-'))
  })
  afterAll(() => rm(state.folder, { recursive: true }))
  const written = async (name: string, document: unknown): Promise<string> => {
    const path = join(state.folder, name)
    await writeFile(path, typeof document === 'string' ? document : JSON.stringify(document))
    return path
  }

  it('resolves a folder of pictures against the file', async () => {
    const path = await written('a.json', { ...whole, data: { kind: 'folder', path: 'pictures' } })
    const result = await loadExperiment(path)()
    expect(E.isRight(result) && result.right.data).toMatchObject({ path: join(state.folder, 'pictures') })
  })

  it('applies settings', async () => {
    const result = await loadExperiment(await written('b.json', whole), ['/seed=7', '/executor=reference'])()
    expect(E.isRight(result) && result.right).toMatchObject({ seed: 7, executor: 'reference' })
  })

  it('says where the file is broken, missing or wrong', async () => {
    expect(errorsOf(await loadExperiment(await written('c.json', '{"name": }'))())).toEqual([
      `${join(state.folder, 'c.json')}:1:10`,
    ])
    expect(errorsOf(await loadExperiment(join(state.folder, 'none.json'))())).toEqual([join(state.folder, 'none.json')])
    const wrong = { ...whole, nmae: 1, diffusion: { ...whole.diffusion, schedule: { kind: 'cosin' } } }
    const result = await loadExperiment(await written('d.json', wrong))()
    expect(errorsOf(result)).toEqual(['/nmae', '/diffusion/schedule/kind'])
    expect(E.isLeft(result) && result.left[1]).toEqual({
      tag: 'config',
      at: '/diffusion/schedule/kind',
      expected:
        '"linear" | "scaled-linear" | "sqrt" | "cosine" | "sigmoid" | "sigmoid-beta" | "cosine-log-snr" | "flow"',
      got: '"cosin"',
      hint: 'did you mean "cosine"?',
      line: expect.stringMatching(/d\.json:1$/),
    })
    expect(errorsOf(await loadExperiment(await written('e.json', whole), ['nonsense'])())).toEqual(['--set nonsense'])
  })
})

describe('JSON Schema', () => {
  it('says each part once, and the same as if it did not', () => {
    const { $defs, ...whole } = withDefinitions(experimentSchema)
    const definitions = new Map(Object.entries($defs ?? {}))
    const named: string[] = []
    const spoken = (x: unknown): unknown => {
      if (Array.isArray(x)) return x.map(spoken)
      if (typeof x !== 'object' || x === null) return x
      if ('$ref' in x) {
        const name = String(x.$ref).replace('#/$defs/', '')
        named.push(name)
        return spoken(definitions.get(name) ?? expect.unreachable(name))
      }
      return Object.fromEntries(Object.entries(x).map(([key, inner]) => [key, spoken(inner)]))
    }
    expect(spoken(whole)).toEqual(experimentSchema)
    expect(new Set(named)).toEqual(new Set(definitions.keys()))
    expect(experimentSchemaText().length).toBeLessThan(JSON.stringify(experimentSchema, null, 2).length / 2)
  })

  it('is the one that is committed (latentgraph schema > graphs/experiment.schema.json, then npm run format)', async () => {
    const committed = await readFile(new URL('../../graphs/experiment.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(committed)).toEqual(JSON.parse(experimentSchemaText()))
  })

  it('bounds every number and every list, and the codec alike', () => {
    const found: string[] = []
    const walk = (at: string, u: unknown): void => {
      if (typeof u !== 'object' || u === null) return
      const has = (...keys: readonly string[]): boolean => keys.some((k) => k in u)
      if ('type' in u && (u.type === 'number' || u.type === 'integer')) {
        if (!has('minimum', 'exclusiveMinimum') || !has('maximum', 'exclusiveMaximum')) found.push(at)
      } else if ('type' in u && u.type === 'array' && !has('maxItems')) found.push(at)
      for (const [k, v] of Object.entries(u)) if (k !== 'default') walk(`${at}/${k}`, v)
    }
    walk('', experimentSchema)
    walk('/published', publishedModel.json)
    expect(found).toEqual([])
  })

  it('knows every section', () => {
    const properties = (...names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, expect.anything()]))
    const common = ['name', 'data', 'sampling', 'seed', 'executor', '$schema']
    expect(experimentSchema.anyOf).toMatchObject([
      {
        additionalProperties: false,
        required: ['name', 'data', 'firstStage'],
        properties: properties(...common, 'firstStage', 'diffusion'),
      },
      {
        additionalProperties: false,
        required: ['name', 'data', 'adapter', 'training'],
        properties: properties(...common, 'adapter', 'training', 'objective'),
      },
    ])
  })
})
