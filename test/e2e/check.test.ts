import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { conv2d, freeze, input, parameter, relu } from '../../src/declare/index.ts'
import { encodeGraph } from '../../src/graph/codec.ts'
import { float } from '../../src/graph/types.ts'
import { writeGrid } from '../../src/io/images.ts'
import { E } from '../../src/prelude.ts'
import { running } from '../command-line.ts'

/** What `check` says of the data, of run folders and of what would go wrong after the first step. */

const tiny = join(import.meta.dirname, '../../graphs/tiny.json')
const state = { folder: '' }
const at = (...names: readonly string[]): string => join(state.folder, ...names)
const picture = (path: string, grey: number) =>
  writeGrid(path, new Float32Array(16 * 16).fill(grey), { n: 1, channels: 1, height: 16, width: 16, gap: 0 })()

beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph check '))
  for (const folder of ['flat', 'classed/a', 'classed/b']) {
    await mkdir(at(folder), { recursive: true })
    for (let i = 0; i < 6; i++) await picture(at(folder, `${i}.png`), i / 6)
  }
  await mkdir(at('run'))
  await mkdir(at('empty'))
  const data = { kind: 'folder', path: at('classed'), size: 16, heldOut: 4 }
  const whole = { ...JSON.parse(await readFile(tiny, 'utf8')), data }
  await writeFile(at('run', 'experiment.json'), JSON.stringify(whole))
})
afterAll(() => rm(state.folder, { recursive: true }))

const own = (folder: string): readonly string[] => ['--set', '/data/kind=folder', '--set', `/data/path=${at(folder)}`]
const large = [
  '--set',
  '/data/size=512',
  '--set',
  '/firstStage/network/resolution=512',
  '--set',
  '/sampling/guidance=1',
  '--set',
  '/diffusion/unet/attentionFactors=[]',
  '--set',
  '/firstStage/training/batchSize=1',
  '--set',
  '/diffusion/training/batchSize=1',
]
const unconditional = ['--set', '/diffusion/conditioning={"kind":"none"}', '--set', '/sampling/guidance=1']

describe('training', () => {
  it('says what held-out pictures are asked, what averages take on the disk, and which metrics there are', async () => {
    const validate = (metric: string) =>
      `/diffusion/training/validate={"every":6,"monitor":{"metric":"${metric}","patience":2}}`
    const sets = ['--set', '/diffusion/training/postHocEma={"every":5}', ...own('classed')]
    const { code, out } = await running('check', tiny, '--set', validate('val/loss_ema'), ...sets)
    expect(code).toBe(0)
    expect(out).toContain(
      'held out     every 6 steps, 256 pictures at most; the state best by val/loss_ema is kept, and 2 without a better one end the stage',
    )
    expect(out).toMatch(/averages {5}3 snapshots of 2, \d+ MiB on the disk/)
    const { code: refused, err } = await running('check', tiny, '--set', validate('val/psnr'), ...sets)
    expect(refused).not.toBe(0)
    expect(err).toMatch(/\/diffusion\/training\/validate\/monitor\/metric\n {2}expected .*"val\/loss_ema"/)
  })
})

describe('pictures', () => {
  it('are counted, and what is odd about them is said', async () => {
    const { code, out, err } = await running(...['check', tiny, ...own('classed'), '--set', '/data/heldOut=4'])
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('data: 8 pictures to train on, 4 held out, 2 classes\n')
    const more = await running('check', tiny, ...own('classed'), '--set', '/diffusion/training/batchSize=9')
    expect(more.out).toContain('/diffusion/training/batchSize: a batch of 9 has each of the 4 pictures')
  })

  const refused: readonly (readonly [at: string, args: () => readonly string[]])[] = [
    ['/data/heldOut', () => [...own('flat'), ...unconditional, '--set', '/data/heldOut=6']],
    ['/data/heldOut', () => [...own('flat'), ...unconditional, '--set', '/data/heldOut=100']],
    ['/diffusion/conditioning/kind', () => [...own('flat'), '--set', '/data/heldOut=2']],
    [
      '/sampling/perClass',
      () => [...own('classed'), ...large, '--set', '/data/heldOut=2', '--set', '/sampling/perClass=1000'],
    ],
  ]
  it.each(refused)('%s is refused, and its hint followed', async (pointer, args) => {
    const { code, out, err } = await running('check', tiny, ...args())
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(new RegExp(`^${pointer}\\n`))
    const [hint = ''] = /(?:--set (?:'[^']*'|[^\s',]+) ?)+/.exec(err) ?? []
    const pasted = execFileSync('sh', ['-c', `printf '%s\\n' ${hint}`], { encoding: 'utf8' })
      .trimEnd()
      .split('\n')
    const after = await running('check', tiny, ...args(), ...pasted)
    expect(after.code).toBe(0)
    expect(after.err.replace(/^--set .* is not used: --set .* comes later\n/gm, '')).toBe('')
  })

  it('that are not there', async () => {
    expect((await running('check', tiny, ...own('nothing'))).err).toContain(at('nothing'))
    const weights = '/firstStage/loss/perceptual={"weight":1,"files":["here.pth"]}'
    expect((await running('check', tiny, '--set', weights)).err).toContain('/firstStage/loss/perceptual/files/0\n')
  })
})

describe('folders', () => {
  it('of a run are checked by the experiment in it', async () => {
    const { code, out } = await running('check', at('run'), '--json')
    expect(code).toBe(0)
    expect(out).toBe((await running('check', at('run', 'experiment.json'), '--json')).out)
  })

  it('others are no experiments', async () => {
    const { code, err } = await running('check', at('empty'))
    expect(code).toBe(1)
    expect(err).toContain('or the folder of a run\n  got      a folder without experiment.json')
    expect(err).not.toContain('EISDIR')
  })

  it('are said where a file is wanted, with the one that is meant', async () => {
    const { code, err } = await running('train', at('run'))
    expect(code).toBe(1)
    expect(err).toContain(`'${at('run', 'experiment.json')}'`)
  })
})

describe('what a program is computed as', () => {
  it('is told of every program of an experiment', async () => {
    const { code, out } = await running(
      'check',
      tiny,
      ...own('classed'),
      '--explain',
      '--json',
      '--executor',
      'onnx:cpu',
    )
    const { executor, plans } = JSON.parse(out)
    expect([code, executor, Object.keys(plans)]).toEqual([0, 'onnx:cpu', ['first-stage', 'diffusion', 'sampling']])
    const [row] = plans.diffusion
    expect(Object.keys(row)).toEqual(['node', 'op', 'algorithm', 'layout', 'milliseconds', 'share'])
    const total = plans.diffusion.reduce((sum: number, { share }: { readonly share: number }) => sum + share, 0)
    expect(total).toBeCloseTo(1)
  })
  it('is told of a graph, as a table', async () => {
    const x = input('x', float(4, 16, 16, 16))
    const weight = parameter('net', 'weight', [32, 16, 1, 1], { kind: 'zeros' })
    const graph = freeze({ y: relu(conv2d(weight, { stride: [1, 1], padding: [0, 0, 0, 0] })(x)) })
    await writeFile(at('graph.json'), JSON.stringify(E.isRight(graph) ? encodeGraph(graph.right) : {}))
    const { code, out } = await running('check', at('graph.json'), '--explain', '--executor', 'onnx:cpu')
    expect(code).toBe(0)
    expect(out).toMatch(/net\.weight +conv2d +direct +plain +0\.\d\d +100\.0 %/)
  })
  it('is not told by an executor that plans nothing, and no executor is named for nothing', async () => {
    const reference = await running('check', tiny, ...own('classed'), '--explain', '--executor', 'reference')
    expect([reference.code, reference.err]).toEqual([2, expect.stringContaining('an executor that plans')])
    const alone = await running('check', tiny, '--executor', 'onnx:cpu')
    expect([alone.code, alone.err]).toEqual([2, expect.stringContaining('--explain, which it belongs to')])
  })
})
