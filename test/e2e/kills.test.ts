import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bits, fold, key } from '../../src/distributions/random.ts'
import { drawPictures, pixelsOf, tiny, type Workplace, workplace } from './program.ts'

/**
 * Runs that are ended at random moments, again and again, and resumed, end with the same bytes as one that was never stopped:
 * previews, validations and the best states included, leftovers none. More of them: KILLS=100 KILL_SEED=7 npx vitest run test/e2e/kills.test.ts,
 * and on another engine: KILL_EXECUTOR=xla:cpu.
 */

const kills = Number(process.env.KILLS ?? 3)
const seed = Number(process.env.KILL_SEED ?? 1)
const executor = process.env.KILL_EXECUTOR
const signals = ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGINT', 'SIGHUP'] as const
const codes = { SIGKILL: null, SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const
/** In [0, 1). */
const chance = (kill: number, what: string): number => bits(fold(key(seed), what), kill)[0] / 2 ** 32

const held: { place?: Workplace; seconds: number } = { seconds: 0 }
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)

const sets = (): readonly string[] =>
  [
    `/data=${JSON.stringify({ kind: 'folder', path: at('pictures'), size: 16, heldOut: 6 })}`,
    '/firstStage/training/validate={"every":3,"pictures":5,"monitor":{"metric":"val/psnr","use":"best"}}',
    '/diffusion/training/validate={"every":2,"monitor":{"metric":"val/loss_simple_ema","patience":2}}',
    '/diffusion/training/postHocEma={"every":3}',
    ...['firstStage', 'diffusion'].flatMap((stage) => [
      `/${stage}/training/steps=8`,
      `/${stage}/training/checkpointEvery=3`,
      `/${stage}/training/previewEvery=2`,
      `/${stage}/training/logEvery=2`,
    ]),
  ].flatMap((set) => ['--set', set])
const train = (run: string, resume: boolean, end?: { readonly signal: NodeJS.Signals; readonly after: number }) =>
  place().run(
    [
      ...['train', tiny, '--out', run, ...sets(), ...(resume ? ['--resume'] : [])],
      ...(executor === undefined ? [] : ['--executor', executor]),
    ],
    end,
  )

/** Every file of a run but its report, which says how long it took. */
const filesOf = async (run: string): Promise<Readonly<Record<string, string>>> => {
  const found = await readdir(at(run), { recursive: true, withFileTypes: true })
  const names = found.filter((f) => f.isFile()).map((f) => relative(at(run), join(f.parentPath, f.name)))
  const sums = names.toSorted().map(async (name) => {
    const bytes = await readFile(at(run, name))
    return [name, name === 'report.html' ? '' : createHash('sha256').update(bytes).digest('hex')] as const
  })
  return Object.fromEntries(await Promise.all(sums))
}

beforeAll(async () => {
  held.place = await workplace()
  await drawPictures(at('pictures'))
  const began = performance.now()
  const { code, err } = await train('straight', false)
  expect(code, err).toBe(0)
  held.seconds = (performance.now() - began) / 1000
}, 300_000)
afterAll(() => held.place?.dispose())

test('the straight run draws by its last state, by its best, and by averages that are made of its snapshots', async () => {
  const drawn = async (...options: readonly string[]): Promise<string> => {
    const { code, err } = await place().run(['sample', 'straight', '--count', '1', '--out', 'drawn.png', ...options])
    expect(code, err).toBe(0)
    return createHash('sha256')
      .update(await pixelsOf(at('drawn.png')))
      .digest('hex')
  }
  expect(await readdir(at('straight', 'diffusion', 'averages'))).toEqual([
    'step-00000003',
    'step-00000006',
    'step-00000008',
  ])
  expect(await drawn('--ema', '0.1')).not.toBe(await drawn())
  await drawn('--checkpoint', 'best')
}, 60_000)

test(`${kills} kills from seed ${seed}`, { timeout: 60_000 + kills * 90_000 }, async () => {
  const straight = await filesOf('straight')
  /** At most so often one run is ended, so that runs come to an end. */
  const most = 4
  let [run, ends, done] = [0, 0, 0]
  for (let attempt = 0; done < kills || ends > 0; attempt++) {
    const name = `run-${run}`
    const signal = signals[Math.floor(chance(attempt, 'signal') * signals.length)] ?? 'SIGKILL'
    const after = 1000 * held.seconds * chance(attempt, 'time')
    const end = done < kills && ends < most ? { signal, after } : undefined
    const resume = existsSync(at(name))
    const about = `run ${run}, kill ${done} by ${signal} after ${Math.round(end?.after ?? 0)} ms`
    const ended = await train(name, resume, end)
    if (end !== undefined && ended.code !== 0) {
      done += 1
      ends += 1
      const told =
        signal === 'SIGKILL' || ended.signal === signal || /stopped while .*; (kept: |nothing)/.test(ended.err)
      expect(told, `${about}\n${ended.err}`).toBe(true)
      expect([null, codes[signal]], `${about}\n${ended.err}`).toContain(ended.code)
      if (process.env.KILL_LOG !== undefined)
        process.stderr.write(`${about}: ${ended.code} ${ended.err.split('\n').at(-2)}\n`)
      continue
    }
    expect(ended.code, `${about}\n${ended.err}`).toBe(0)
    expect(await filesOf(name), `${about}\n${ended.err}`).toEqual(straight)
    ;[run, ends] = [run + 1, 0]
  }
})
