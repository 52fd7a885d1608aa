import { type Effect, type Errors, reasonOf, showErrors } from '../error.ts'
import { E } from '../prelude.ts'

/** Where a command writes: results on `out`, everything else (progress, errors) on `err`. */
export interface Terminal {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

export const exitCodes = { done: 0, failed: 1, usage: 2 } as const

/** What a command came to: its exit code. */
export type Outcome = number

const codeOf = (errors: Errors): Outcome =>
  errors.some(({ tag }) => tag === 'usage') ? exitCodes.usage : exitCodes.failed

/** One line that asks for a report; the stack with LATENTGRAPH_DEBUG=1. */
export const showBug = (reason: unknown): string => {
  const [first = ''] = reasonOf(reason).split('\n')
  const stack = process.env.LATENTGRAPH_DEBUG === '1' && reason instanceof Error ? `${reason.stack}\n` : ''
  return `a bug in latentgraph: ${first}, please report (LATENTGRAPH_DEBUG=1 shows where)\n${stack}`
}

/** Runs a command: its errors, or a bug, are shown and become the exit code. */
export const execute = async (terminal: Terminal, command: Effect<Outcome>): Promise<Outcome> => {
  try {
    const result = await command()
    if (E.isRight(result)) return result.right
    terminal.err(`${showErrors(result.left)}\n`)
    return codeOf(result.left)
  } catch (reason) {
    terminal.err(showBug(reason))
    return exitCodes.failed
  }
}
