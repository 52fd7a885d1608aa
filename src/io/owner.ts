import { readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Effect, effect, failure } from '../error.ts'
import { TE, t } from '../prelude.ts'
import { fileEffect } from './bytes.ts'
import { asArgument } from './names.ts'
import { fateOf, type ProcessIdentity, thisProcess } from './process.ts'

/**
 * One process at a time works in a folder. Its owner is the file `.owner-N.json` of the highest N: a process that finds the owner
 * dead takes over by making N + 1, which one alone can. So no file of a living owner is ever removed by another.
 */

const ownerFile = /^\.owner-(\d+)\.json$/
const nameOf = (n: number): string => `.owner-${n}.json`

const Owner = t.type({
  pid: t.number,
  host: t.string,
  boot: t.string,
  space: t.string,
  began: t.string,
  since: t.string,
})
type Owner = t.TypeOf<typeof Owner>

/** A folder that this process owns. */
export interface Owned {
  readonly dir: string
  /** Errors (`file`): the folder is gone, or another's. */
  readonly held: Effect<void>
}

/** Whether a process has begun to work in a folder and has not left it. Errors: `file`. */
export const hasOwner = (dir: string): Promise<boolean> =>
  readdir(dir).then(
    (names) => names.some((name) => ownerFile.test(name)),
    () => false,
  )

interface Found {
  readonly n: number
  readonly path: string
  /** Absent: cut off before it was written. */
  readonly owner?: Owner
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** How long (ms) an owner may take to write its file once it has made it. */
const patience = 1000

const absent = (reason: NodeJS.ErrnoException): string => {
  if (reason.code === 'ENOENT') return ''
  throw reason
}

const readOwner = async (path: string, until: number): Promise<Owner | undefined> => {
  const owner = parsed(await readFile(path, 'utf8').catch(absent))
  if (Owner.is(owner)) return owner
  if (performance.now() > until) return undefined
  await setTimeout(50)
  return readOwner(path, until)
}

const ownersOf = async (dir: string): Promise<readonly Found[]> => {
  const numbers = (await readdir(dir)).flatMap((name) => Number(ownerFile.exec(name)?.[1] ?? []))
  const until = performance.now() + patience
  return Promise.all(
    numbers.map(async (n) => {
      const path = join(dir, nameOf(n))
      const owner = await readOwner(path, until)
      return { n, path, ...(owner === undefined ? {} : { owner }) }
    }),
  )
}

const show = ({ pid, host, since }: Owner): string => `process ${pid} of ${host}, since ${since}`

/** An owner that keeps others out. */
const standing = async (found: readonly Found[], here: ProcessIdentity) => {
  for (const { owner, n } of found) {
    const fate = owner === undefined ? 'ended' : await fateOf(owner, here)
    if (owner !== undefined && fate !== 'ended') return { owner, n, fate }
  }
  return undefined
}

const taken = (dir: string, { owner, n, fate }: NonNullable<Awaited<ReturnType<typeof standing>>>) =>
  failure(
    'file',
    dir,
    'a folder that no other process works in',
    show(owner),
    fate === 'runs'
      ? 'wait until it ends, or choose another folder'
      : `it cannot be seen from here whether it still runs; once it has ended, remove ${asArgument(join(dir, nameOf(n)))}`,
  )

/** What is known of the process that works in a folder: that it runs, or that it cannot be seen from here; undefined where none does. */
export const ownerOf = async (dir: string): Promise<'runs' | 'unknown' | undefined> =>
  (await standing(await ownersOf(dir), await thisProcess()))?.fate

/** Makes the file of an owner; false where another has made it. */
const made = (path: string, text: string): Promise<boolean> =>
  writeFile(path, text, { flag: 'wx', flush: true }).then(
    () => true,
    async (reason: NodeJS.ErrnoException) => {
      if (reason.code === 'EEXIST') return false
      await rm(path, { force: true })
      throw reason
    },
  )

/** Whether a process that still runs, or may, works in a folder. */
export const isOwned = async (dir: string): Promise<boolean> => {
  const found = await ownersOf(dir).catch((): readonly Found[] => [])
  return (await standing(found, await thisProcess())) !== undefined
}

interface Taken {
  readonly path: string
  readonly text: string
}

/** Takes a folder, which is there. Errors (`file`): another process works in it. */
const take = (dir: string, shown: string): Effect<Taken> =>
  effect(async (run) => {
    const disk = <A>(work: () => Promise<A>): Promise<A> => run(fileEffect(shown, 'a folder that can be written', work))
    const here = await thisProcess()
    const text = `${JSON.stringify({ ...here, since: new Date().toISOString() })}\n`
    for (;;) {
      const found = await disk(() => ownersOf(dir))
      const other = await standing(found, here)
      if (other !== undefined) return run(TE.left([taken(shown, other)]))
      const path = join(dir, nameOf(1 + Math.max(0, ...found.map(({ n }) => n))))
      if (!(await disk(() => made(path, text)))) continue
      const rest = (await disk(() => ownersOf(dir))).filter((f) => f.path !== path)
      const rival = await standing(rest, here)
      if (rival !== undefined) {
        await disk(() => rm(path, { force: true }))
        return run(TE.left([taken(shown, rival)]))
      }
      for (const dead of rest) await disk(() => rm(dead.path, { force: true }))
      return { path, text }
    }
  })

/** Folders from `dir` up to `first`, which were made for it, the innermost first. */
const between = (dir: string, first: string): readonly string[] => {
  const inside = relative(first, dir)
  const steps = inside === '' ? [] : inside.split(sep)
  return [...steps.map((_, i) => join(first, ...steps.slice(0, steps.length - i))), first]
}

/** An owner leaves; a file that another has put in its place stays. */
const leave = ({ path, text }: Taken): void => {
  try {
    if (readFileSync(path, 'utf8') === text) rmSync(path)
  } catch {
    return
  }
}

const removeEmpty = (dirs: readonly string[]): void => {
  for (const dir of dirs) {
    try {
      if (readdirSync(dir).length > 0) return
      rmdirSync(dir)
    } catch {
      return
    }
  }
}

/** Makes a folder that was not there, and those above it. False: it is there. Errors: `file`. */
const makeNew = (dir: string): Effect<string | false> =>
  fileEffect(dir, 'a folder that can be made', async () => {
    const above = await mkdir(dirname(dir), { recursive: true })
    return mkdir(dir).then(
      () => above ?? dir,
      (reason: NodeJS.ErrnoException) => {
        if (reason.code === 'EEXIST') return false
        throw reason
      },
    )
  })

/**
 * Owns a folder, which is made where there is none, while `body` runs; folders that were made and stay empty are removed again.
 * Errors: `file`, another process that works in it; those of `body`.
 */
export const owning = <A>(path: string, body: (owned: Owned) => Effect<A>): Effect<A> =>
  owned(resolve(path), path, body, (dir) =>
    fileEffect(path, 'a folder that can be made', () => mkdir(dir, { recursive: true })),
  )

/** As `owning`, of the first folder in a row that is not there. */
export const owningNew = <A>(numbered: (n: number) => string, body: (owned: Owned) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    for (let n = 1; ; n++) {
      const path = numbered(n)
      const first = await run(makeNew(resolve(path)))
      if (first !== false) return run(owned(resolve(path), path, body, () => TE.right(first)))
    }
  })

const owned = <A>(
  dir: string,
  path: string,
  body: (owned: Owned) => Effect<A>,
  make: (dir: string) => Effect<string | undefined>,
): Effect<A> =>
  effect(async (run) => {
    const first = await run(make(dir))
    const fresh = first === undefined ? [] : between(dir, first)
    const mine: { taken?: Taken } = {}
    const release = (): void => {
      process.off('exit', release)
      if (mine.taken !== undefined) leave(mine.taken)
      removeEmpty(fresh)
    }
    process.on('exit', release)
    try {
      const { path: file, text } = await run(take(dir, path))
      mine.taken = { path: file, text }
      const held = fileEffect(path, 'the folder that this process works in', async () => {
        const found = await readFile(file, 'utf8').catch(() => undefined)
        if (found === undefined) throw new Error('it was removed or moved meanwhile')
        if (found !== text) throw new Error('it was given to another process')
      })
      return await run(body({ dir: path, held }))
    } finally {
      release()
    }
  })
