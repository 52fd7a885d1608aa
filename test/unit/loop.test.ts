import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mul, parameter, sum } from '../../src/declare/index.ts'
import { type Effect, failure } from '../../src/error.ts'
import { type Executable, floats, type Stepper, type Values } from '../../src/execute/executor.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { checkpointPath, newestStanding } from '../../src/train/checkpoints.ts'
import type { Sink } from '../../src/train/events.ts'
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
  readonly validations: string[]
}
const identity = { stage: 'first-stage' }
const go = async (after: (done: number, w: number) => number, changes: Partial<Loop> = {}, resume = false) => {
  const told: Told = { said: [], previews: [], validations: [] }
  const standingBelow = (below: number) => newestStanding(dir, { identity, like: first, below })
  const found = resume ? right(await standingBelow(Number.POSITIVE_INFINITY)()) : { passed: [] }
  const preview = (done: number): string => join(dir, `preview-${done}`)
  const ended = await train({
    ...{ name: 'first-stage', plan, compile: TE.right(executable(after)), dir, identity, standingBelow },
    ...{ steps: 12, checkpointEvery: 4, logEvery: 5, previewEvery: 6, wayOn: 'THE WAY ON' },
    ...(found.standing === undefined ? {} : { standing: found.standing }),
    initial: TE.right(first),
    feeds: (step) => TE.right({ step: floats([], Float32Array.of(step)) }),
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
    tell: (event) =>
      TE.fromIO(() => {
        if (event.kind === 'note') told.said.push(event.text)
        if (event.kind === 'validation') told.validations.push(`${event.step}${event.isBest ? ' best' : ''}`)
      }),
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
  const tell: Sink = (event) =>
    TE.fromIO(() => {
      if (event.kind === 'step') at.done = event.step
    })
  return { tell, stopping: () => at.done >= done }
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

describe('held-out pictures', () => {
  /** `val/psnr` after so many steps. */
  type Curve = (done: number) => number
  const validation = (
    curve: Curve,
    { patience, stopAt }: { patience?: number; stopAt?: () => number } = {},
  ): Partial<Loop> => ({
    validation: {
      every: 3,
      monitor: { metric: 'val/psnr', use: 'last', ...(patience === undefined ? {} : { patience }) },
      measure: (state) => async () => {
        const done = scalar(state, 'w') - 1
        return stopAt?.() === done ? E.left([failure('stopped', '', '', '')]) : E.right({ 'val/psnr': curve(done) })
      },
    },
  })
  const bests = async () => readdir(join(dir, 'best')).catch(() => [])
  const lines = async () =>
    (await readFile(join(dir, 'metrics.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l))
  const hump: Curve = (done) => 20 - Math.abs(6 - done)

  it('are measured when they are due and after the last step, and the best state is kept by itself', async () => {
    const { ended, validations } = await go(plusOne, { ...validation(hump), steps: 11 })
    expect(scalar(right(ended), 'w')).toBe(12)
    expect(validations).toEqual(['3 best', '6 best', '9', '11'])
    expect((await lines()).flatMap((l) => ('val/psnr' in l ? [[l.step, l['val/psnr']]] : []))).toEqual([
      [3, 17],
      [6, 20],
      [9, 17],
      [11, 15],
    ])
    expect([await bests(), await steps()]).toEqual([['step-00000006'], [8, 11]])
  })
  it('end a stage whose patience is at its end, which a resumption sees, and more patience takes up', async () => {
    const { ended, said, previews } = await go(plusOne, validation(hump, { patience: 1 }))
    expect(scalar(right(ended), 'w')).toBe(10)
    expect(said).toEqual([
      'first-stage: ended early, after 9 of 12 steps: val/psnr was not better than 20 of step 6 in 1 validation',
    ])
    expect([await steps(), await logged(), previews, await bests()]).toEqual([
      [8, 9],
      count(9),
      [6, 9],
      ['step-00000006'],
    ])
    const compile: Effect<Executable> = () => expect.unreachable('compiled')
    const again = await go(plusOne, { ...validation(hump, { patience: 1 }), compile }, true)
    expect([scalar(right(again.ended), 'w'), again.said, again.previews]).toEqual([10, said, []])
    const on = await go(plusOne, validation(hump, { patience: 3 }), true)
    expect([scalar(right(on.ended), 'w'), await logged(), await steps()]).toEqual([13, count(12), [8, 12]])
  })
  it('that a stop cuts off are asked again: the run ends as one that was not stopped', async () => {
    for (const curve of [hump, (done: number) => done, (done: number) => -done]) {
      await go(plusOne, validation(curve))
      const whole = [await lines(), await bests(), await steps()]
      for (const at of [3, 6, 12]) {
        await rm(dir, { recursive: true })
        const { ended } = await go(plusOne, validation(curve, { stopAt: () => at }))
        expect(ended).toMatchObject({ left: [{ tag: 'stopped' }] })
        expect((await steps()).at(-1)).toBe(at)
        expect((await lines()).at(-1)).not.toHaveProperty('val/psnr')
        await go(plusOne, validation(curve), true)
        expect([await lines(), await bests(), await steps()]).toEqual(whole)
      }
    }
  })
  it('keep what a run may go back to, and forget what it has not come to yet', async () => {
    const { ended } = await go(plusOne, { ...validation((done) => done), ...stoppingAfter(10) })
    expect(ended).toMatchObject({ left: [{ tag: 'stopped' }] })
    expect([await steps(), await bests()]).toEqual([
      [4, 8, 10],
      ['step-00000003', 'step-00000006', 'step-00000009'],
    ])
    for (const step of [10, 8]) await rm(checkpointPath(dir, step), { recursive: true })
    await go(plusOne, { ...validation((done) => (done > 3 ? 0 : done)) }, true)
    expect([await steps(), await bests()]).toEqual([[8, 12], ['step-00000003']])
  })
  it('that give no number end it like a loss that breaks', async () => {
    const { ended } = await go(
      plusOne,
      validation((done) => (done === 6 ? Number.NaN : done)),
    )
    expect(ended).toMatchObject({
      left: [
        {
          tag: 'training',
          expected: 'a finite val/psnr after step 6',
          hint: 'the checkpoint of step 4 is kept; THE WAY ON',
        },
      ],
    })
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
