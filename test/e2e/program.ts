import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { inject, vi } from 'vitest'
import { running } from '../command-line.ts'

/** The command line in a folder of its own: compiled, as a process, as its users run it; or in this process, which has started already. */

const root = join(import.meta.dirname, '../..')
export const compiled = inject('compiled')

interface Said {
  readonly code: number | null
  readonly out: string
  readonly err: string
}
export interface Ended extends Said {
  readonly signal: NodeJS.Signals | null
}
/** Sent as soon as a path exists, or after so many milliseconds. */
export type Interruption = { readonly signal: NodeJS.Signals } & (
  | { readonly when: string }
  | { readonly after: number }
)

export interface Workplace {
  readonly dir: string
  readonly run: (args: readonly string[], interruption?: Interruption) => Promise<Ended>
  /**
   * The same command in this process, for what does not lie between a command line and its process: a start takes as long as many a
   * command.
   */
  readonly here: (args: readonly string[]) => Promise<Said>
  /** What the runs have left in their home, cache and temporary folders, which were empty. */
  readonly leftOutside: () => Promise<readonly string[]>
  readonly dispose: () => Promise<void>
}
export const workplace = async (): Promise<Workplace> => {
  const whole = await mkdtemp(join(tmpdir(), 'latentgraph-e2e-'))
  const [dir, outside] = [join(whole, 'work'), join(whole, 'outside')]
  const own = { HOME: join(outside, 'home'), XDG_CACHE_HOME: join(outside, 'cache'), TMPDIR: join(outside, 'tmp') }
  for (const folder of [dir, ...Object.values(own)]) await mkdir(folder, { recursive: true })
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env
  return {
    dir,
    dispose: () => rm(whole, { recursive: true }),
    leftOutside: async () =>
      (await readdir(outside, { recursive: true })).filter((path) => !Object.values(own).includes(join(outside, path))),
    here: async (args) => {
      const before = process.cwd()
      for (const [name, folder] of Object.entries(own)) vi.stubEnv(name, folder)
      process.chdir(dir)
      const progress: string[] = []
      const screen = vi.spyOn(process.stderr, 'write').mockImplementation((text) => progress.push(String(text)) > 0)
      try {
        const said = await running(...args)
        return { ...said, err: said.err + progress.join('') }
      } finally {
        screen.mockRestore()
        process.chdir(before)
        vi.unstubAllEnvs()
      }
    },
    run: (args, interruption) =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [join(compiled, 'src/cli/main.js'), ...args], {
          cwd: dir,
          env: { ...env, ...own },
        })
        const texts = { out: '', err: '' }
        child.stdout.on('data', (text) => {
          texts.out += text
        })
        child.stderr.on('data', (text) => {
          texts.err += text
        })
        const began = performance.now()
        const isDue = (at: Interruption): boolean =>
          'after' in at ? performance.now() - began >= at.after : existsSync(join(dir, at.when))
        const watch = setInterval(() => {
          if (interruption !== undefined && isDue(interruption)) {
            clearInterval(watch)
            child.kill(interruption.signal)
          }
        }, 2)
        child.on('close', (code, signal) => {
          clearInterval(watch)
          resolve({ code, signal, ...texts })
        })
      }),
  }
}

/** The pixels of a picture, without what is said of them. */
export const pixelsOf = (path: string): Promise<Buffer> => sharp(path).raw().toBuffer()

/** 24 pictures of 16x16 in two classes: discs and boxes of all colours. */
export const drawPictures = async (dir: string): Promise<void> => {
  const shapes = {
    box: (i: number) => `<rect x="${2 + (i % 5)}" y="3" width="${5 + (i % 4)}" height="${7 + (i % 3)}"/>`,
    disc: (i: number) => `<circle cx="${6 + (i % 5)}" cy="8" r="${3 + (i % 4)}"/>`,
  }
  for (const [name, shape] of Object.entries(shapes)) {
    await mkdir(join(dir, name), { recursive: true })
    for (let i = 0; i < 12; i++) {
      const filled = `<rect width="16" height="16" fill="#fff"/><g fill="hsl(${30 * i}, 80%, 50%)">${shape(i)}</g>`
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16">${filled}</svg>`
      await sharp(Buffer.from(svg))
        .png()
        .toFile(join(dir, name, `${String(i).padStart(2, '0')}.png`))
    }
  }
}
export const tiny = join(root, 'graphs/tiny.json')

/** 24 label maps of 16x16 in two classes: boxes and stripes of the labels 1 to 4 on label 0. */
export const drawLabelMaps = async (dir: string): Promise<void> => {
  const shapes = {
    box: (i: number, x: number, y: number) => x > 2 + (i % 3) && x < 12 && y > 3 && y < 9 + (i % 4),
    stripe: (i: number, x: number, y: number) => (x + y + i) % 6 < 3,
  }
  for (const [name, inside] of Object.entries(shapes)) {
    await mkdir(join(dir, name), { recursive: true })
    for (let i = 0; i < 12; i++) {
      const raw = Uint8Array.from({ length: 256 }, (_, p) => (inside(i, p % 16, Math.floor(p / 16)) ? 1 + (i % 4) : 0))
      await sharp(raw, { raw: { width: 16, height: 16, channels: 1 } })
        .png()
        .toFile(join(dir, name, `${String(i).padStart(2, '0')}.png`))
    }
  }
}
