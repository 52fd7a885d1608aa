import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { t } from '../src/prelude.ts'

/** A process that measures works, spoken to as `peers/README.md` says. */

export const Answer = t.partial({
  ok: t.boolean,
  reason: t.string,
  ms: t.array(t.number),
  values: t.array(t.number),
  peakMiB: t.number,
  absoluteMiB: t.number,
  blas: t.string,
  referenceBlas: t.boolean,
  torch: t.string,
  flops: t.number,
})
export type Answer = t.TypeOf<typeof Answer>

export interface Side {
  readonly ask: (request: object) => Promise<Answer>
  readonly end: () => void
}
/**
 * A process is stopped while it is not asked: threads that wait by spinning would slow down whoever's turn it is. None outlives the bench,
 * however that ends.
 */
export const side = (child: ChildProcess): Side => {
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('a bench process without pipes')
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const end = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', end)
  return {
    ask: async (request) => {
      child.kill('SIGCONT')
      stdin.write(`${JSON.stringify(request)}\n`)
      const { value, done } = await lines.next()
      child.kill('SIGSTOP')
      const reply: unknown = done === true ? { ok: false, reason: 'the process ended' } : JSON.parse(value)
      return Answer.is(reply) ? reply : { ok: false, reason: 'an unreadable answer' }
    },
    end: () => {
      process.removeListener('exit', end)
      end()
    },
  }
}

export const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
export const ours = (): Side =>
  side(spawn(process.execPath, [here('./ours.js')], { stdio: ['pipe', 'pipe', 'inherit'] }))

export const median = (xs: readonly number[]): number =>
  xs.toSorted((a, b) => a - b)[Math.floor(xs.length / 2)] ?? Number.NaN
