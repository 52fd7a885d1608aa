import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mul, parameter, sum } from '../../src/declare/index.ts'
import { type Effect, failure } from '../../src/error.ts'
import { type Executable, floats, type Stepper, type Values } from '../../src/execute/executor.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { checkpointPath, newestStanding } from '../../src/train/checkpoints.ts'
import { type Loop, train } from '../../src/train/loop.ts'
import { trainingStep } from '../../src/train/step.ts'
import { right } from '../arbitrary/run.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-loop-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const w = parameter('w', 'w', [1], { kind: 'ones' })
const plan = right(
  trainingStep(
    { loss: pipe(w, mul(w), sum()), log: {} },
    { steps: 12, optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 }, learningRate: { kind: 'constant', rate: 1 } },
  ),
)
/** The state before the first step. */
const first: Values = { w: floats([1], Float32Array.of(1)) }
const scalar = (values: Values, name: string): number => values[name]?.data[0] ?? Number.NaN

/** A training whose state after step n is `after(n, state before)`, and whose loss is its state before, or of that. */
const executable = (after: (done: number, w: number) => number, loss = (w: number): number => w): Executable => ({
  run: () => TE.left([failure('run', '', 'a stepper', 'a run')]),
  start: (_, initial) => {
    let state = initial
    const stepper: Stepper = {
      step: (feeds) => async () => {
        const before = scalar(state, 'w')
        state = { w: floats([1], Float32Array.of(after(scalar(feeds, 'step') + 1, before))) }
        return E.right({ loss: floats([], Float32Array.of(loss(before))) })
      },
      read: async () => E.right(state),
      dispose: () => {},
    }
    return TE.right(stepper)
  },
  dispose: () => {},
})

interface Told {
  readonly said: string[]
  readonly previews: number[]
}
const identity = { stage: 'first-stage' }
const go = async (after: (done: number, w: number) => number, changes: Partial<Loop> = {}, resume = false) => {
  const told: Told = { said: [], previews: [] }
  const standingBelow = (below: number) => newestStanding(dir, { identity, like: () => first, below })
  const found = resume ? right(await standingBelow(Number.POSITIVE_INFINITY)()) : { passed: [] }
  const preview = (done: number): string => join(dir, `preview-${done}`)
  const ended = await train({
    ...{ name: 'first-stage', plan, compile: TE.right(executable(after)), dir, identity, standingBelow },
    ...{ steps: 12, checkpointEvery: 4, logEvery: 5, previewEvery: 6, wayOn: 'THE WAY ON' },
    ...(found.standing === undefined ? {} : { standing: found.standing }),
    initial: TE.right(first),
    feeds: (step) => TE.right({ step: floats([], Float32Array.of(step)) }),
    onStep: () => {},
    preview: {
      files: (done) => [preview(done)],
      draw: (done, state) => async () => {
        told.previews.push(done)
        await writeFile(preview(done), String(scalar(state, 'w')))
        return E.right(undefined)
      },
    },
    stopping: () => false,
    held: TE.right(undefined),
    say: (line) => told.said.push(line),
    ...changes,
  })()
  return { ended, ...told }
}
const steps = async () =>
  (await readdir(join(dir, 'checkpoints'))).map((name) => Number(name.slice(5))).sort((a, b) => a - b)
const logged = async () =>
  (await readFile(join(dir, 'metrics.jsonl'), 'utf8')).split('\n').flatMap((l) => (l === '' ? [] : JSON.parse(l).step))
const count = (to: number): readonly number[] => Array.from({ length: to }, (_, i) => i + 1)
const plusOne = (_: number, x: number): number => x + 1
const stoppingAfter = (done: number): Partial<Loop> => {
  const at = { done: 0 }
  return { onStep: (step) => (at.done = step), stopping: () => at.done >= done }
}

describe('training', () => {
  it('logs, shows and keeps what is due, and returns its last state', async () => {
    const { ended, said, previews } = await go(plusOne)
    expect(scalar(right(ended), 'w')).toBe(13)
    expect([await steps(), await logged(), previews, said]).toEqual([[8, 12], count(12), [6, 12], []])
  })
  it('that is over does nothing but draw a preview that is missing', async () => {
    await go(plusOne)
    expect((await go(plusOne, {}, true)).previews).toEqual([])
    await rm(join(dir, 'preview-12'))
    const compile: Effect<Executable> = () => expect.unreachable('compiled')
    const { ended, previews } = await go(plusOne, { compile }, true)
    expect([scalar(right(ended), 'w'), previews]).toEqual([13, [12]])
  })
  it('that is stopped keeps its state, and ends like one that was not', async () => {
    for (const at of [3, 5, 6]) {
      const { ended, previews } = await go(plusOne, stoppingAfter(at), at > 3)
      expect(ended).toMatchObject({ _tag: 'Left', left: [{ tag: 'stopped' }] })
      expect([(await steps()).at(-1), await logged(), previews]).toEqual([at, count(at), []])
    }
    const { ended, previews } = await go(plusOne, {}, true)
    expect(scalar(right(ended), 'w')).toBe(13)
    expect([await steps(), await logged(), previews]).toEqual([[8, 12], count(12), [6, 12]])
  })
  it('ends where its folder is no longer its own', async () => {
    let asked = 0
    const gone = failure('file', dir, 'the folder', 'none')
    const held: Effect<void> = async () => (++asked === 3 ? E.left([gone]) : E.right(undefined))
    expect((await go(plusOne, { held })).ended).toEqual(E.left([gone]))
    expect(await steps()).toEqual([])
  })
  it('says which lines of its metrics are missing', async () => {
    await go(plusOne, stoppingAfter(5))
    const path = join(dir, 'metrics.jsonl')
    const lines = (await readFile(path, 'utf8')).split('\n')
    await writeFile(path, [...lines.slice(0, 2), lines[3]?.slice(0, 5), ...lines.slice(4)].join('\n'))
    expect((await go(plusOne, {}, true)).said).toEqual([`${path}: steps 3 to 5 are missing`])
    expect(await logged()).toEqual([1, 2, ...count(12).slice(5)])
  })
})

describe('numbers that break', () => {
  /** The state after step `done` and ever after. */
  const breaking =
    (done: number, into = Number.NaN) =>
    (step: number, x: number): number =>
      step >= done ? into : x + 1
  const failed = (what: string, kept: string) => ({
    _tag: 'Left',
    left: [{ tag: 'training', at: 'first-stage', expected: what, hint: `${kept}; THE WAY ON` }],
  })
  it.each<readonly [string, number, string, readonly number[]]>([
    ['between checkpoints', 5, 'a finite loss at step 6', [4]],
    ['in the step of a checkpoint', 8, 'a finite w after step 8', [4]],
    ['in the step before one', 7, 'a finite loss at step 8', [4]],
    ['by the last step', 12, 'a finite w after step 12', [4, 8]],
  ])('%s are never kept', async (_, at, what, kept) => {
    const { ended, previews } = await go(breaking(at))
    expect(ended).toMatchObject(failed(what, `the checkpoint of step ${kept.at(-1)} is kept`))
    expect(await steps()).toEqual(kept)
    expect(previews).toEqual(at > 6 ? [6] : [])
    const { ended: on } = await go(plusOne, {}, true)
    expect(scalar(right(on), 'w')).toBe(13)
    expect(await logged()).toEqual(count(12))
  })
  it('with the state that the last step leaves, though it is finite, are noticed', async () => {
    const huge = (step: number, x: number): number => (step === 12 ? 1e38 : x + 1)
    const { ended } = await go(huge, { compile: TE.right(executable(huge, (x) => 100 * x)) })
    expect(ended).toMatchObject(failed('a finite loss after step 12', 'the checkpoint of step 8 is kept'))
  })
  it('at once after a checkpoint send a resumed run to the one before, both named', async () => {
    await go(plusOne, { steps: 8 })
    const poisoned = (step: number, x: number): number => (step === 9 && x === 9 ? Number.NaN : step < 8 ? x : x + 1)
    const { ended, said } = await go(poisoned, {}, true)
    expect(said.join('\n')).toMatch(/step-00000008[\s\S]*a finite loss at step 10[\s\S]*going on from step 4 instead/)
    expect(scalar(right(ended), 'w')).toBe(10)
    expect([await steps(), await logged()]).toEqual([[8, 12], count(12)])
  })
  it('from every checkpoint on send it to the beginning, and from there they are an error', async () => {
    await go(plusOne, { steps: 8 })
    const { ended, said } = await go(breaking(9), {}, true)
    expect(said.map((line) => line.split('\n').at(-1))).toEqual([
      'going on from step 4 instead',
      'going on from the beginning instead',
    ])
    expect(ended).toMatchObject(failed('a finite loss at step 10', 'the checkpoint of step 8 is kept'))
  })
  it('long after a checkpoint leave a resumed run where it was', async () => {
    await go(plusOne, { steps: 8 })
    const { ended, said } = await go(breaking(25), { steps: 40, checkpointEvery: 8 }, true)
    expect(said).toEqual([])
    expect(ended).toMatchObject(failed('a finite loss at step 26', 'the checkpoint of step 24 is kept'))
  })
  it('in the first step are not blamed on the rate', async () => {
    const initial = TE.right({ w: floats([1], Float32Array.of(Number.NaN)) })
    const { ended } = await go(plusOne, { initial })
    expect(ended).toMatchObject({ left: [{ hint: expect.stringContaining('no learning rate changes') }] })
    expect(await readdir(join(dir, 'checkpoints'))).toEqual([])
    expect(checkpointPath(dir, 1)).toContain('step-00000001')
  })
})
