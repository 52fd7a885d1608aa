#!/usr/bin/env node
import { cli } from './program.ts'
import { exitCodes, showBug } from './terminal.ts'

const bug = (reason: unknown): never => {
  process.stderr.write(showBug(reason))
  process.exit(exitCodes.failed)
}
process.on('uncaughtException', bug)
process.on('unhandledRejection', bug)
/** A reader that has seen enough (`latentgraph check x.json | head`) is no fault, nor a terminal that was closed. */
const unread = ({ code }: NodeJS.ErrnoException): boolean => code === 'EPIPE' || code === 'EIO'
process.stdout.on('error', (e) => (unread(e) ? process.exit(exitCodes.done) : bug(e)))
/** Work goes on where nobody follows it any more. */
process.stderr.on('error', (e) => (unread(e) ? undefined : bug(e)))

process.exitCode = await cli(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
})
