import { Option } from 'commander'
import { effect } from '../error.ts'
import type { Register } from './command.ts'
import { apart, canRunApart } from './own-process.ts'
import { exitCodes } from './terminal.ts'

/** In this process, whose terminal drivers write to. */
const here = '--here'

export const doctor: Register = (command, { terminal, run }) => {
  command
    .option('--ops <experiment>', 'of its training steps instead: what would leave the device, for each executor')
    .addOption(new Option(here).hideHelp())
    .addHelpText('after', '\nExample:\n  latentgraph doctor --ops graphs/emoji.json')
    .action(({ ops, here: isHere }: { readonly ops?: string; readonly here?: true }) =>
      run(
        effect(async (go) => {
          const { plugin }: { readonly plugin: readonly string[] } = command.optsWithGlobals()
          if (ops !== undefined && !isHere) {
            const { loadExperiment } = await import('../experiment/load.ts')
            await go(loadExperiment(ops))
          }
          const looking =
            !isHere && canRunApart
              ? apart([
                  ...plugin.flatMap((path) => ['--plugin', path]),
                  ...['doctor', here],
                  ...(ops === undefined ? [] : ['--ops', ops]),
                ])
              : ops === undefined
                ? (await import('./doctor-machine.ts')).aboutMachine
                : (await import('./doctor-ops.ts')).aboutOps(ops)
          terminal.out(await go(looking))
          return exitCodes.done
        }),
      ),
    )
}
