import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Effect } from '../../src/error.ts'
import { hasOwner, type Owned, owning, owningNew } from '../../src/io/owner.ts'
import { type ProcessIdentity, thisProcess } from '../../src/io/process.ts'
import { E } from '../../src/prelude.ts'
import { right } from '../arbitrary/run.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-owner-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const run = () => join(dir, 'run')
/** Whoever left their file behind. */
const left = async (changes: Partial<ProcessIdentity>, n = 1): Promise<void> => {
  await mkdir(run(), { recursive: true })
  const owner = { ...(await thisProcess()), since: '2026-01-02T03:04:05.678Z', ...changes }
  await writeFile(join(run(), `.owner-${n}.json`), JSON.stringify(owner))
}
const names: (owned: Owned) => Effect<readonly string[]> = (owned) => async () => E.right(await readdir(owned.dir))
const noProcess = 2 ** 22 + 1

describe('a folder has one owner', () => {
  it('while it is worked in, and none after; what was made for it and stays empty goes', async () => {
    expect(right(await owning(join(run(), 'deep'), names)())).toEqual(['.owner-1.json'])
    expect(await readdir(dir)).toEqual([])
    await owning(run(), () => async () => E.right(await writeFile(join(run(), 'a'), '')))()
    expect(await readdir(run())).toEqual(['a'])
  })
  it('which is named to others, who change nothing', async () => {
    const inner = await owning(run(), () => async () => E.right(await owning(run(), names)()))()
    expect(right(inner)).toMatchObject({
      _tag: 'Left',
      left: [{ tag: 'file', at: run(), got: expect.stringContaining(`process ${process.pid} of `) }],
    })
    expect(await readdir(dir)).toEqual([])
  })
  it('and one alone of many that come at once, also where a dead one has to be taken over', async () => {
    for (const dead of [false, true]) {
      if (dead) await left({ pid: noProcess }, 3)
      let within = 0
      const body = (): Effect<void> => async () => {
        within += 1
        expect(within).toBe(1)
        await new Promise((resolve) => setTimeout(resolve, 50))
        within -= 1
        return E.right(undefined)
      }
      const ended = await Promise.all(Array.from({ length: 6 }, () => owning(run(), body)()))
      expect(ended.filter(E.isRight).length).toBeLessThanOrEqual(1)
      expect(right(await owning(run(), names)())).toHaveLength(1)
    }
  })
  it.each<readonly [string, Partial<ProcessIdentity>]>([
    ['has ended', { pid: noProcess }],
    ['began at another time: its number was given to another process', { began: 'another' }],
    ['ran before the machine began anew', { boot: 'another' }],
  ])('is taken over where it %s', async (_, changes) => {
    await left(changes, 7)
    expect(right(await owning(run(), names)())).toEqual(['.owner-8.json'])
    expect(await readdir(run())).toEqual([])
  })
  it('is taken over where it ended before it had written who it is', async () => {
    await mkdir(run())
    await writeFile(join(run(), '.owner-1.json'), '')
    expect(right(await owning(run(), names)())).toEqual(['.owner-2.json'])
  })
  it.each<readonly [string, Partial<ProcessIdentity>]>([
    ['another machine', { host: 'elsewhere' }],
    ['another container', { space: 'another' }],
  ])('is left alone on %s, with a hint that works', async (_, changes) => {
    await left({ ...changes, pid: noProcess })
    const ended = await owning(run(), names)()
    expect(ended).toMatchObject({ _tag: 'Left', left: [{ got: expect.stringContaining(`process ${noProcess} of `) }] })
    const hint = E.isLeft(ended) ? ended.left[0].hint : undefined
    const file = /remove '?([^']+)'?$/.exec(hint ?? '')?.[1] ?? expect.unreachable(hint)
    await rm(file)
    expect(right(await owning(run(), names)())).toEqual(['.owner-1.json'])
  })
  it('which learns that the folder is gone, or another’s', async () => {
    const heldOnce = (change: () => Promise<unknown>) =>
      owning(run(), ({ held }) => async () => {
        expect(await held()).toEqual(E.right(undefined))
        await change()
        return E.right(await held())
      })()
    expect(right(await heldOnce(() => rm(run(), { recursive: true })))).toMatchObject({
      _tag: 'Left',
      left: [{ tag: 'file', at: run(), got: 'it was removed or moved meanwhile' }],
    })
    expect(right(await heldOnce(() => left({ pid: 1 })))).toMatchObject({ _tag: 'Left' })
    expect(await hasOwner(run())).toBe(true)
    expect(JSON.parse(await readFile(join(run(), '.owner-1.json'), 'utf8'))).toMatchObject({ pid: 1 })
  })
})

describe('the first of folders that is not there', () => {
  const numbered = (n: number): string => join(dir, 'runs', `r-${n}`)
  it('is another for each of many at once, and none is left of those that did nothing', async () => {
    const dirs = await Promise.all(
      Array.from({ length: 8 }, () =>
        owningNew(numbered, (owned) => async () => {
          await writeFile(join(owned.dir, 'a'), '')
          return E.right(owned.dir)
        })(),
      ),
    )
    expect(dirs.map(right).toSorted()).toEqual(Array.from({ length: 8 }, (_, i) => numbered(i + 1)))
    await owningNew(numbered, names)()
    await expect(stat(numbered(9))).rejects.toThrow()
  })
})
