import { cli } from '../src/cli/program.ts'

/** The command line in this process: its exit code, and what it says. */
export const running = async (...args: readonly string[]) => {
  const texts = { out: '', err: '' }
  const code = await cli(args, {
    out: (text) => {
      texts.out += text
    },
    err: (text) => {
      texts.err += text
    },
  })
  return { code, ...texts }
}
