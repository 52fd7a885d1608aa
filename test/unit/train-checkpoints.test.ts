import { cp, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { floats, type Values } from '../../src/execute/executor.ts'
import { saveCheckpoint } from '../../src/io/checkpoint.ts'
import { E } from '../../src/prelude.ts'
import { checkpointPath, newestStanding, passedOver, tidyCheckpoints } from '../../src/train/checkpoints.ts'
import { grouped } from '../../src/train/state.ts'
import { right } from '../arbitrary/run.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-checkpoints-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const identity = { stage: 'diffusion', seed: 3 }
const state = (x: number): Values => ({ w: floats([2], Float32Array.of(1, x)) })
const save = async (step: number, x = step, meta: Readonly<Record<string, string | number>> = identity) =>
  right(await saveCheckpoint(checkpointPath(dir, step), { step, groups: grouped(state(x)), meta })())
const damage = (step: number) => writeFile(join(checkpointPath(dir, step), 'parameters.safetensors'), 'damaged')
const steps = async () => (await readdir(join(dir, 'checkpoints'))).map((name) => Number(name.slice(5))).toSorted()
const newest = (below?: number) =>
  newestStanding(dir, { identity, like: state(0), ...(below === undefined ? {} : { below }) })()

describe('the checkpoints that stay', () => {
  it.each<readonly [string, readonly number[], number, readonly number[]]>([
    ['the newest two', [4, 8], 12, [8, 12]],
    ['until there are two, the one of a stop', [3], 4, [3, 4]],
    ['the one of a stop while it is the newest', [4, 8], 9, [4, 8, 9]],
    ['none of a stop once two that are due are there', [4, 7], 8, [4, 8]],
    ['at the end none of a stop', [8, 10], 14, [8, 14]],
    ['what a run began with', [0, 4, 8], 12, [0, 8, 12]],
    ['that no more at the end', [0, 4, 8, 12], 14, [12, 14]],
    ['none that a run which went back has left', [4, 12], 8, [4, 8]],
  ])('%s', async (_, before, done, after) => {
    for (const step of [...before, done]) await save(step)
    right(await tidyCheckpoints(dir, { every: 4, steps: 14, done })())
    expect(await steps()).toEqual([...after].sort())
  })
})

describe('a run goes on from', () => {
  it('its beginning where there is no checkpoint', async () => {
    expect(right(await newest())).toEqual({ passed: [] })
  })
  it('the newest checkpoint, or the newest before a step', async () => {
    await save(4)
    await save(8)
    expect(right(await newest())).toEqual({ standing: { done: 8, state: state(8) }, passed: [] })
    expect(right(await newest(8)).standing?.done).toBe(4)
    expect(right(await newest(4))).toEqual({ passed: [] })
  })
  it.each<readonly [string, () => Promise<unknown>, RegExp]>([
    ['was damaged', () => damage(8), /damaged after it was written/],
    ['lost a file', () => rm(join(checkpointPath(dir, 8), 'manifest.json')), /manifest\.json/],
    ['has a NaN', () => save(8, Number.NaN), /a checkpoint of finite numbers/],
    ['has an infinity', () => save(8, Number.POSITIVE_INFINITY), /a checkpoint of finite numbers/],
  ])('the checkpoint before the newest that %s; both are named', async (_, change, why) => {
    await save(4)
    await save(8)
    await change()
    const { standing, passed } = right(await newest())
    expect(standing).toEqual({ done: 4, state: state(4) })
    const said = passedOver(passed, standing)
    expect(said).toMatch(/step-00000008/)
    expect(said).toMatch(why)
    expect(said).toMatch(/going on from step 4 instead/)
    expect(await steps()).toEqual([4, 8])
  })
  it('none where all are damaged: nothing says what to begin with', async () => {
    await save(4)
    await save(8)
    await damage(4)
    await damage(8)
    const ended = await newest()
    expect(ended).toMatchObject({ _tag: 'Left', left: [{ tag: 'file' }, { tag: 'file' }] })
    expect(E.isLeft(ended) && ended.left[0].at).toContain('step-00000008')
  })
  it('its beginning where no checkpoint is finite, but not where it began with imported weights', async () => {
    await save(4, Number.NaN)
    expect(right(await newest())).toMatchObject({ passed: [{ tag: 'training' }] })
    expect(right(await newest()).standing).toBeUndefined()
    await save(0, Number.NaN)
    expect(await newest()).toMatchObject({ _tag: 'Left', left: [{ tag: 'training' }] })
  })
  it('no checkpoint of another run', async () => {
    await save(4, 4, { ...identity, seed: 4 })
    expect(await newest()).toMatchObject({ _tag: 'Left', left: [{ expected: 'a checkpoint with seed 3', got: '4' }] })
  })
  it('a copy that was put back', async () => {
    await save(4)
    await cp(checkpointPath(dir, 4), join(dir, 'copy'), { recursive: true })
    await damage(4)
    expect(E.isLeft(await newest())).toBe(true)
    await rm(checkpointPath(dir, 4), { recursive: true })
    await rename(join(dir, 'copy'), checkpointPath(dir, 4))
    expect(right(await newest()).standing?.done).toBe(4)
  })
})
