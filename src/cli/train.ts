import { Option } from 'commander'
import { effect } from '../error.ts'
import { loadWritten } from '../experiment/load.ts'
import { asArgument } from '../io/names.ts'
import { pipe, TE } from '../prelude.ts'
import { inRunFolder } from '../run/run-folder.ts'
import { type Register, setOption, several } from './command.ts'
import { groupOf, leaveWith, rankOptions, withRanks } from './ranks.ts'

interface Options {
  readonly out?: string
  readonly resume?: boolean
  readonly tensorboard?: boolean
  readonly set: readonly string[]
  readonly executor?: string
  readonly dryRun?: true
  readonly ranks?: number
  readonly rank?: number
  readonly coordinator?: string
}

export const train: Register = (command, { terminal, run }) => {
  command
    .argument('<file>', 'the experiment, JSON')
    .option('--out <dir>', 'the folder of the run; a new one below runs/ where left out')
    .option('--resume', 'go on with the run in that folder, or with the newest one')
    .option('--tensorboard', "TensorBoard's event files too, in tensorboard/ of the run")
    .option('--executor <name>', 'that of the experiment where left out')
  withRanks(command)
    .addOption(
      new Option(
        '--dry-run',
        'one step of everything, a stop and going on included, in a folder that is removed',
      ).conflicts(['out', 'resume', 'tensorboard', ...rankOptions]),
    )
    .option(...setOption, several, [])
    .addHelpText(
      'after',
      `
Examples:
  latentgraph train graphs/emoji.json
  latentgraph train graphs/emoji.json --dry-run
  latentgraph train graphs/emoji.json --resume
  latentgraph train graphs/emoji.json --set /data/kind=folder --set /data/path=../my-pictures`,
    )
    .action((file: string, options: Options) => {
      const { out, resume = false, set, executor, tensorboard = false, dryRun: dry, coordinator, rank, ranks } = options
      return run(
        effect(async (go) => {
          const sets = executor === undefined ? set : [...set, `/executor=${executor}`]
          const { completed } = await import('../pipelines/tuning.ts')
          const { experiment, placed } = await go(loadWritten(file, sets, completed))
          if (dry) {
            const { dryRun } = await import('./dry-run.ts')
            return go(pipe(dryRun(experiment, terminal), TE.mapLeft(placed)))
          }
          const group = await go(groupOf({ coordinator, rank, ranks }, experiment.executor, terminal))
          const { trainSession } = await import('./session.ts')
          const typed = (dir: string): string =>
            [`train ${asArgument(file)}`, ...sets.map((s) => `--set ${asArgument(s)}`), `--out ${asArgument(dir)}`]
              .concat(resume ? ['--resume'] : [])
              .join(' ')
          const joined = group === undefined ? {} : { group }
          const session =
            group !== undefined && group.placement.rank > 0
              ? (await import('./follow-session.ts')).followSession(experiment, group, terminal)
              : inRunFolder({ file, out, resume }, (owned) =>
                  trainSession({ experiment, owned, resume, tensorboard, command: typed, ...joined }, terminal),
                )
          const ended = await pipe(session, TE.mapLeft(placed))()
          if (group !== undefined) leaveWith(group, ended)
          return go(TE.fromEither(ended))
        }),
      )
    })
}
