import { type Command, Option } from 'commander'
import { type Checked, type Effect, effect, failure, showErrors } from '../error.ts'
import { type Group, join } from '../execute/ranks/group.ts'
import { type Asked, launchedBy, type Placement, placementOf, showAddress } from '../execute/ranks/placement.ts'
import { askedDevices, askForDevices } from '../execute/xla/places.ts'
import { version } from '../package.ts'
import { E, TE } from '../prelude.ts'
import { count, natural } from './parse.ts'
import { exitCodes, type Terminal } from './terminal.ts'

/** Several processes that train together, as the command line and launchers have it. */

export const rankOptions = ['coordinator', 'rank', 'ranks'] as const
/** Adds what says which of several processes this is. */
export const withRanks = (command: Command): Command =>
  command
    .addOption(
      new Option('--ranks <n>', 'how many processes train together, each with its own devices').argParser(count),
    )
    .addOption(new Option('--rank <r>', 'which of them this is; rank 0 writes the run').argParser(natural))
    .option('--coordinator <host:port>', 'where rank 0 listens to the others')

const joinsOthers = (executor: string): boolean => executor.startsWith('xla:')

/** Where this process stands among those that train together; says it where a launcher has started several that do not. */
const placed = (asked: Asked, executor: string, { err }: Terminal): Effect<Placement | undefined> =>
  effect(async (run) => {
    const launched = launchedBy(process.env)
    const joins = joinsOthers(executor)
    const placement = await run(TE.fromEither(placementOf(asked, joins ? launched : undefined)))
    if (placement === undefined) {
      if (launched !== undefined && !joins)
        err(
          `${launched.name} has started ${launched.ranks} processes; each trains by itself, as ${executor} joins no others (xla:cuda does)\n`,
        )
      return undefined
    }
    if (!joins)
      await run(
        TE.left([
          failure('usage', '--ranks', 'an executor xla:*, which joins processes', executor, '--executor xla:cuda'),
        ]),
      )
    if (askedDevices().optimizerState === 'parts')
      await run(
        TE.left([
          failure(
            'usage',
            '--zero',
            "one process: rank 0 writes checkpoints, and would have its part alone of the optimiser's state",
            `--ranks ${placement.ranks}`,
            'without --ranks: --devices N --zero',
          ),
        ]),
      )
    return placement
  })

/** Joins the processes that train together, and waits until all are there; undefined: this is the only one. Errors: `usage`, `run`. */
export const groupOf = (asked: Asked, executor: string, terminal: Terminal): Effect<Group | undefined> =>
  effect(async (run) => {
    const placement = await run(placed(asked, executor, terminal))
    if (placement === undefined) return undefined
    const { rank, ranks, coordinator } = placement
    terminal.err(`rank ${rank} of ${ranks}: waiting for the others at ${showAddress(coordinator)}\n`)
    const group = await run(join(placement, version()))
    askForDevices({ ...askedDevices(), group })
    return group
  })

/** Native work that waits for a process that has gone keeps this one alive: it is ended after so long (ms). */
const atMost = 3000
/** Tells the others of an error that came before, or behind, the training; ends the process soon where one of them has gone. */
export const leaveWith = (group: Group, ended: Checked<unknown>): void => {
  if (E.isLeft(ended)) group.fail(showErrors(ended.left))
  if (group.lost() !== undefined) setTimeout(() => process.exit(exitCodes.failed), atMost).unref()
}
