import { InvalidArgumentError } from 'commander'
import { effect, failure } from '../error.ts'
import { packageFile, version } from '../package.ts'
import { TE } from '../prelude.ts'
import type { Register } from './command.ts'
import { natural } from './parse.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly port?: number
  readonly host: string
}

/** The port where none is told, or the next that is free. */
const usual = 4747

const portOf = (text: string): number => {
  const port = natural(text)
  if (port > 65_535) throw new InvalidArgumentError('Expected a port from 0 to 65535.')
  return port
}

export const serve: Register = (command, { terminal, run }) => {
  command
    .argument('[runs...]', 'the folders of runs; the models that come along where left out')
    .option('--port <n>', `${usual}, or the next that is free, where left out; 0 is any`, portOf)
    .option('--host <address>', 'whom to listen to: whoever reaches this address of the machine can draw', '127.0.0.1')
    .addHelpText('after', '\nExamples:\n  latentgraph serve\n  latentgraph serve runs/emoji --port 8080')
    .action((runs: readonly string[], { port, host }: Options) =>
      run(
        effect(async (go) => {
          const { heldRun } = await import('../run/held-run.ts')
          for (const folder of runs) await go(heldRun(folder))
          const { promptsFor, shippedModels } = await import('./shown-models.ts')
          const served =
            runs.length > 0
              ? await Promise.all(runs.map(async (run) => ({ run, examples: await promptsFor(run) })))
              : await shippedModels()
          if (served.length === 0)
            return go(
              TE.left([
                failure(
                  'usage',
                  '<runs>',
                  'the folder of a run',
                  'none, and no models came along',
                  'npm install latentgraph-models',
                ),
              ]),
            )
          const { loadRun } = await import('../run/loaded.ts')
          const { optional } = await import('../optional.ts')
          const { isLoopback, serve: serveRuns } = await go(optional('page', () => import('../serve/index.ts')))
          const { url, close } = await go(
            serveRuns({
              runs: served,
              load: (folder) => loadRun(folder, {}),
              page: packageFile('dist', 'page'),
              host,
              port: port ?? usual,
              exactly: port !== undefined,
              version: version(),
              say: terminal.err,
            }),
          )
          terminal.out(`${url}\n`)
          terminal.err(
            isLoopback(host)
              ? 'For this machine alone. Ctrl-C ends it.\n'
              : `Whoever reaches ${host} can draw, and sees what was drawn: there is no password. Ctrl-C ends it.\n`,
          )
          await new Promise<void>((resolve) => {
            for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
          })
          await close()
          return exitCodes.done
        }),
      ),
    )
}
