import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Effect, effect, failure } from '../error.ts'
import { TE } from '../prelude.ts'

/** Lines of what native libraries say that are worth reading, the last ones. */
const most = 20

const main = fileURLToPath(new URL('./main.js', import.meta.url))

/** Whether there is a program that can run beside this one: sources alone are none. */
export const canRunApart = import.meta.url.endsWith('.js')

/**
 * What a command line of this program writes, run in a process of its own: drivers and native libraries write past us to the terminal, and
 * may end the process. What they said is in the error (`run`) alone.
 */
export const apart = (args: readonly string[]): Effect<string> =>
  effect(async (run) => {
    const texts = { out: '', err: '' }
    const ended = await new Promise<number | string>((resolve) => {
      const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        texts.out += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        texts.err += text
      })
      child.on('error', ({ message }) => resolve(message))
      child.on('close', (code, signal) => resolve(code ?? `it was ended by ${signal}`))
    })
    if (ended === 0) return texts.out
    const said = texts.err.trim().split('\n').slice(-most).join('\n')
    const how = typeof ended === 'number' ? `it ended with ${ended}` : ended
    return run(
      TE.left([
        failure('run', `latentgraph ${args.join(' ')}`, 'to come to its end', said === '' ? how : `${how}\n${said}`),
      ]),
    )
  })
