import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { effect, showErrors } from '../../src/error.ts'
import { type CheckpointFile, withCheckpointFile } from '../../src/io/checkpoint-file.ts'
import { readTorch } from '../../src/io/torch/index.ts'
import { E, TE } from '../../src/prelude.ts'
import {
  bytes,
  called,
  dict,
  global,
  int,
  pickle,
  storage,
  tensor,
  text,
  torchZip,
  tuple,
  zip,
} from './torch-pickles.ts'

/** Checkpoints as trainers write them: what of them is wanted, what is beside it, and what stands in for that. */

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-foreign-'))
const path = join(folder, 'model.ckpt')
afterAll(() => rmSync(folder, { recursive: true }))

const floats = (...xs: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(xs).buffer)
const named = (...entries: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
  dict(...entries.map(([name, v]) => [text(name), v] as const))
const w = tensor(storage('0', 2), { shape: [2], strides: [1] })
const data = { 0: floats(1, 2) }
const state = named(['out.weight', w])

interface Opened {
  readonly names: readonly string[]
  readonly arrays: Readonly<Record<string, readonly (number | bigint)[] | string>>
  readonly remarks: string
}
const seen = ({ arrays, remarks }: CheckpointFile) =>
  effect(async () => {
    const found: Record<string, readonly (number | bigint)[] | string> = {}
    for (const [name, array] of Object.entries(arrays)) {
      const read = await array.read()
      found[name] = E.isRight(read) ? [...read.right.data] : showErrors(read.left)
    }
    return { names: Object.keys(arrays), arrays: found, remarks: remarks.join('\n') }
  })
const opening = (file: Uint8Array, from?: string) => {
  writeFileSync(path, file)
  return withCheckpointFile(path, { from }, seen)()
}
const opened = async (file: Uint8Array, from?: string): Promise<Opened> => {
  const result = await opening(file, from)
  return E.isRight(result) ? result.right : expect.unreachable(showErrors(result.left))
}
const refusal = async (file: Uint8Array, from?: string) => {
  const result = await opening(file, from)
  return E.isLeft(result) ? result.left[0] : expect.unreachable(JSON.stringify(result.right))
}

const newObject = (type: Uint8Array, ...args: readonly Uint8Array[]): Uint8Array => bytes(type, tuple(...args), 0x81)
const withState = (object: Uint8Array, stateOf: Uint8Array): Uint8Array => bytes(object, stateOf, 'b')
const frame = (module: string, name: string): Uint8Array =>
  bytes(0x8c, module.length, module, 0x8c, name.length, name, 0x93)
const numpyArray = withState(
  called(
    global('numpy.core.multiarray', '_reconstruct'),
    global('numpy', 'ndarray'),
    tuple(int(0)),
    called(global('_codecs', 'encode'), text('b'), text('latin1')),
  ),
  tuple(
    int(1),
    tuple(int(2)),
    called(global('numpy', 'dtype'), text('f2'), bytes(0x89), bytes(0x88)),
    bytes(0x89),
    called(global('_codecs', 'encode'), text('ab'.repeat(40)), text('latin1')),
  ),
)

describe('what a checkpoint holds beside the tensors stands for nothing, and is named', () => {
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['a Namespace', withState(newObject(global('argparse', 'Namespace')), named(['lr', int(1)])), 'argparse Namespace'],
    ['a path', called(global('pathlib', 'PosixPath'), text('a'), text('b')), 'pathlib PosixPath'],
    [
      'an AttributeDict, a dictionary of a class of its own',
      bytes(newObject(global('lightning.fabric.utilities.data', 'AttributeDict')), '(', text('x'), int(1), 'u'),
      'lightning.fabric.utilities.data AttributeDict',
    ],
    [
      "OmegaConf's",
      withState(newObject(global('omegaconf.dictconfig', 'DictConfig')), named(['_content', bytes('}')])),
      'omegaconf.dictconfig DictConfig',
    ],
    ["numpy's arrays", numpyArray, 'numpy ndarray'],
    [
      'a numpy number of a type that is not known',
      called(
        global('numpy.core.multiarray', 'scalar'),
        called(global('numpy', 'dtype'), text('f2'), int(0)),
        called(global('_codecs', 'encode'), text('ab'), text('latin1')),
      ),
      '',
    ],
    ['a class as a key', dict([global('my.callbacks', 'Best'), int(1)]), 'my.callbacks Best'],
    [
      'an enum, as a value and as a key',
      dict([called(global('my', 'Kind'), int(1)), called(global('my', 'Kind'), int(2))]),
      'my Kind',
    ],
    ['a nested class', called(global('__builtin__', 'getattr'), global('my', 'Outer'), text('Inner')), 'my Outer'],
    ['a dotted class of protocol 4', frame('my', 'Outer.Inner'), 'my Outer.Inner'],
    ['an object of such a class', bytes(frame('my', 'Outer.Inner'), ')', 0x81, '}', 'b'), 'my Outer.Inner'],
    ['keyword arguments', bytes(global('my', 'Config'), ')', '}', 0x92), 'my Config'],
    [
      'an object by copyreg',
      called(global('copy_reg', '_reconstructor'), global('my', 'Old'), global('__builtin__', 'object'), bytes('N')),
      'my Old',
    ],
    ["Python 2's instances", bytes('(', text('a'), 'imy\nOlder\n', '(', global('my', 'Oldest'), 'o0'), 'my Oldest'],
    [
      'sets and byte arrays',
      bytes(
        '](',
        0x8f,
        '(',
        int(1),
        0x90,
        '(',
        int(2),
        0x91,
        0x96,
        3,
        ...Array.from({ length: 7 }, () => 0),
        'abc',
        'e',
      ),
      '',
    ],
    [
      'a function with arguments of its own',
      called(global('functools', 'partial'), global('torch.optim.adam', 'Adam')),
      'functools partial',
    ],
    [
      'a defaultdict',
      bytes(called(global('collections', 'defaultdict'), global('__builtin__', 'list')), '(', text('x'), int(1), 'u'),
      '',
    ],
    [
      'a quantised tensor',
      called(global('torch._utils', '_rebuild_qtensor'), storage('1', 1, 'QInt8Storage')),
      '_rebuild_qtensor',
    ],
  ]
  it.each(cases)('%s', async (_, value, name) => {
    const beside = named(['state_dict', state], ['hyper_parameters', named(['x', value], ['y', value])])
    const { arrays, remarks } = await opened(torchZip(beside, { ...data, 1: bytes('a') }))
    expect(arrays).toEqual({ 'out.weight': [1, 2] })
    expect(remarks).toContain('beside it, not read: hyper_parameters')
    expect(remarks).toContain(name)
  })

  it.each(cases)('%s, where a tensor is wanted: refused by name', async (_, value, name) => {
    writeFileSync(path, torchZip(named(['state_dict', named(['w', w], ['x', value])]), { ...data, 1: bytes('a') }))
    const read = await readTorch(path)()
    expect(read).toMatchObject({ _tag: 'Left', left: [{ tag: 'file', at: `${path}: "x"`, expected: 'a tensor' }] })
    if (name.includes('_') || name.endsWith('Namespace')) expect(JSON.stringify(read)).toContain(name)
  })

  it.each([
    ['posix', 'system'],
    ['__builtin__', 'eval'],
    ['builtins', '__import__'],
    ['subprocess', 'check_output'],
  ])('%s %s is refused wherever it is, called or not', async (module, name) => {
    for (const value of [global(module, name), called(global(module, name), text('true'))]) {
      const error = await refusal(torchZip(named(['state_dict', state], ['callbacks', value]), data))
      expect(error).toMatchObject({ tag: 'file', got: expect.stringContaining(`${module} ${name}`) })
    }
  })
  it('a way to it by attributes as well', async () => {
    const os = called(global('builtins', 'getattr'), global('torch', 'serialization'), text('os'))
    const error = await refusal(torchZip(named(['state_dict', state], ['x', os]), data))
    expect(error.got).toContain('torch serialization.os')
  })
  it("a whole model is not a model's tensors", async () => {
    const model = withState(
      newObject(global('torch.nn.modules.container', 'Sequential')),
      named(['_parameters', state]),
    )
    const error = await refusal(torchZip(model, data))
    expect(error.got).toContain('torch.nn.modules.container Sequential')
    expect(error.hint).toContain('state_dict()')
  })
})

describe('which dictionary is the model', () => {
  const other = named(['out.weight', tensor(storage('1', 2), { shape: [2], strides: [1] })])
  const two = { ...data, 1: floats(3, 4) }

  it.each([
    ['model', named(['model', state], ['epoch', int(1)])],
    ['model_state_dict', named(['optimizer_state_dict', bytes('}')], ['model_state_dict', state])],
    ['ema', named(['ema', state], ['step', bytes('N')])],
    ['nets.ema.model', named(['nets', named(['ema', named(['model', state])])])],
    ['state_dict.generator', named(['state_dict', named(['generator', state])])],
    ['my model', named(['my model', state])],
  ])('%s is offered by name, and read by it', async (from, value) => {
    const error = await refusal(torchZip(value, data))
    expect(error.got).toContain(JSON.stringify(from))
    const [, quoted, plain] = /--from (?:'([^']*)'|(\S+))/.exec(error.hint ?? '') ?? []
    expect(quoted ?? plain).toBe(from)
    expect((await opened(torchZip(value, data), from)).arrays).toEqual({ 'out.weight': [1, 2] })
  })
  it('of two, both are offered', async () => {
    const file = torchZip(named(['model', state], ['ema', other]), two)
    const { got, hint } = await refusal(file)
    expect(got).toBe('"model" (1 tensors), "ema" (1 tensors)')
    expect(hint).toContain('--from model, or --from ema')
    expect((await opened(file, 'ema')).arrays).toEqual({ 'out.weight': [3, 4] })
  })
  it('state_dict is read without a word; what else there is is said', async () => {
    const { arrays, remarks } = await opened(
      torchZip(
        named(
          ['epoch', int(1)],
          ['state_dict', state],
          ['state_dict_ema', other],
          ['best', named(['score', w], ['at', int(3)])],
        ),
        two,
      ),
    )
    expect(arrays).toEqual({ 'out.weight': [1, 2] })
    expect(remarks).toBe(
      'read from state_dict\nbeside it, not read: epoch, state_dict_ema, best\nother tensors: 1 by --from state_dict_ema',
    )
  })
  it('what names begin with is a path too, and so is a place in a list', async () => {
    const both = named([
      'ema',
      named(['online.w', w], ['ema.model.w', tensor(storage('1', 1), { shape: [], strides: [] })], ['step', int(1)]),
    ])
    const { arrays, remarks } = await opened(torchZip(both, { ...data, 1: floats(5) }), 'ema.ema.model')
    expect(arrays).toEqual({ w: [5] })
    expect(remarks).toContain('2 whose names begin in another way')
    const list = named(['models', bytes('](', other, state, 'e')])
    expect((await opened(torchZip(list, two), 'models.1')).arrays).toEqual({ 'out.weight': [1, 2] })
  })
  it('in safetensors, names below a path', async () => {
    const header =
      '{"vae.w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"unet.w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
    const file = bytes(header.length, ...Array.from({ length: 7 }, () => 0), header, 7, 8)
    expect(await opened(file, 'unet')).toMatchObject({
      arrays: { w: [8] },
      remarks: 'read from unet\nbeside it, not read: 1 arrays',
    })
    expect(await refusal(file, 'u')).toMatchObject({
      tag: 'usage',
      at: '--from',
      hint: expect.stringContaining('vae, unet'),
    })
  })
  it('a path to nothing is a mistake in the command', async () =>
    expect(await refusal(torchZip(named(['model', state]), data), 'modle')).toMatchObject({
      tag: 'usage',
      got: '"modle"',
      hint: expect.stringContaining('"model"'),
    }))
  it('dictionaries that hold themselves and each other are searched once', async () => {
    const loop = bytes('}q\x00', text('self'), 'h\x00s', text('model'), state, 's')
    expect((await refusal(torchZip(loop, data))).got).toContain('"model" (1 tensors)')
  })
})

describe('tensors of torch 2', () => {
  const typed = (dtype: string, of: Uint8Array, shape: readonly number[]): Uint8Array =>
    called(
      global('torch._utils', '_rebuild_tensor_v3'),
      of,
      int(0),
      tuple(...shape.map(int)),
      tuple(...shape.map((_, axis) => int(shape.slice(axis + 1).reduce((n, d) => n * d, 1)))),
      bytes(0x89),
      bytes('}'),
      global('torch', dtype),
    )
  const untyped = (key: string, length: number): Uint8Array =>
    bytes(tuple(text('storage'), global('torch.storage', 'UntypedStorage'), text(key), text('cpu'), int(length)), 'Q')

  it.each([
    ['float8_e4m3fn', bytes(0x38, 0xc0), [1, -2]],
    ['float8_e5m2', bytes(0x3c, 0xc0), [1, -2]],
    ['uint16', bytes(1, 0, 255, 255), [1, 65535]],
  ])('%s', async (dtype, content, expected) => {
    const file = torchZip(named(['w', typed(dtype, untyped('0', content.length), [2])]), { 0: content })
    expect((await opened(file)).arrays).toEqual({ w: expected })
  })
  it('of a type that cannot be read: only where it is wanted', async () => {
    const odd = typed('float8_e4m3fnuz', untyped('1', 2), [2])
    const file = torchZip(named(['w', w], ['odd', odd]), { ...data, 1: bytes(1, 2) })
    const { arrays } = await opened(file)
    expect(arrays.w).toEqual([1, 2])
    expect(arrays.odd).toContain('"odd"\n  expected a tensor of')
    writeFileSync(path, file)
    expect(E.isLeft(await readTorch(path)())).toBe(true)
  })
  it('beyond their bytes: refused', async () =>
    expect(
      (await refusal(torchZip(named(['w', typed('uint16', untyped('0', 4), [3])]), { 0: bytes(1, 2, 3, 4) }))).expected,
    ).toContain('a view within the 2 elements'))
  it('parameters and tensors that something is attached to', async () => {
    const kept = called(
      global('torch._utils', '_rebuild_parameter_with_state'),
      w,
      bytes(0x88),
      bytes('}'),
      named(['tag', int(1)]),
    )
    const attached = called(
      global('torch._tensor', '_rebuild_from_type_v2'),
      global('torch._utils', '_rebuild_tensor_v2'),
      global('torch', 'Tensor'),
      tuple(storage('0', 2), int(0), tuple(int(2)), tuple(int(1)), bytes(0x89), bytes('}')),
      named(['tag', int(1)]),
    )
    expect((await opened(torchZip(named(['p', kept], ['t', attached]), data))).arrays).toEqual({ p: [1, 2], t: [1, 2] })
  })
})

describe('files that would grow', () => {
  const bomb = (code: string, length: number): Uint8Array =>
    zip([{ name: 'archive/data.pkl', data: new Uint8Array(length).fill(code.charCodeAt(0)), deflate: true }])

  it('a pickle that inflates to far more than itself is refused before it is inflated', async () => {
    const error = await refusal(bomb('}', 2 ** 25))
    expect(error.expected).toMatch(/at most \d+ bytes in data\.pkl/)
  })
  it('one that says less than it inflates to is not inflated further', async () => {
    const data = new Uint8Array(2 ** 25).fill('N'.charCodeAt(0))
    const file = zip([{ name: 'archive/data.pkl', data, deflate: true, claims: { bytes: 2 ** 16 } }])
    expect((await refusal(file)).expected).toContain('once inflated')
  })
  it('byteorder is a word', async () => {
    const file = zip([
      { name: 'a/data.pkl', data: pickle(state) },
      { name: 'a/byteorder', data: new Uint8Array(2 ** 20), deflate: true },
    ])
    expect((await refusal(file)).expected).toContain('bytes in byteorder')
  })
  it.each([...'(]})'])('%j again and again takes memory in proportion to the file', async (code) => {
    const file = zip([{ name: 'archive/data.pkl', data: new Uint8Array(2 ** 20).fill(code.charCodeAt(0)) }])
    expect((await refusal(file)).expected).toContain('values of at most')
  })
  it('a long list of numbers is no bomb', async () => {
    const losses = bytes(
      '](',
      ...Array.from({ length: 2 ** 16 }, (_, i) => bytes('G', new Uint8Array(new Float64Array([i]).buffer))),
      'e',
    )
    const { names } = await opened(torchZip(named(['state_dict', state], ['losses', losses]), data))
    expect(names).toEqual(['out.weight'])
  })
})

it('a file is closed when what was read of it is done with', async () => {
  writeFileSync(path, torchZip(state, data))
  const after = await withCheckpointFile(path, {}, ({ arrays }) => TE.right(arrays['out.weight']))()
  const read = E.isRight(after) ? await after.right?.read() : undefined
  expect(read).toMatchObject({ _tag: 'Left', left: [{ tag: 'file' }] })
})
