import { Command, CommanderError } from 'commander'
import { tellWaits } from '../execute/waiting.ts'
import { parseSetting, replaced, type Setting } from '../experiment/settings.ts'
import { asArgument } from '../io/names.ts'
import { version } from '../package.ts'
import { E } from '../prelude.ts'
import { waits } from '../train/progress.ts'
import { type Context, several } from './command.ts'
import { commands } from './commands.ts'
import { count } from './parse.ts'
import { execute, exitCodes, type Outcome, showBug, type Terminal } from './terminal.ts'

const examples = `
Examples:
  latentgraph start                                  train on emoji, draw samples, write a report
  latentgraph new my-model --pictures ../my-pictures
  latentgraph check graphs/emoji.json                what the experiment is, before anything runs
  latentgraph train graphs/emoji.json --out runs/a   train it
  latentgraph sample runs/a --class Objects --out objects.png
  latentgraph serve runs/a                           a page to draw with

Every field of an experiment can be set from the command line: --set /seed=7`

/** Of an option that takes one value, given twice, the first would be ignored. */
const refuseRepeats = (command: Command): void => {
  for (const option of command.options) {
    if ((!option.required && !option.optional) || Array.isArray(option.defaultValue)) continue
    const given: string[] = []
    command.on(`option:${option.name()}`, (value: string) => {
      given.push(value)
      if (given.length > 1) command.error(`error: option '${option.flags}' is given twice: ${given.join(', ')}`)
    })
  }
}

const settingsOf = (command: Command): readonly Setting[] => {
  const { set }: { readonly set?: readonly string[] } = command.opts()
  return (set ?? []).map(parseSetting).flatMap((s) => (E.isRight(s) ? [s.right] : []))
}

const shown = ({ pointer, value }: Setting): string => asArgument(`${pointer}=${JSON.stringify(value)}`)

/** Of settings of one field the last counts, so that a hint can be added to a command; the others are named. An option of its own is no setting. */
const sayReplaced = (command: Command, { err }: Terminal): void => {
  const settings = settingsOf(command)
  const { executor }: { readonly executor?: string } = command.opts()
  if (executor !== undefined && settings.some(({ pointer }) => pointer === '/executor'))
    command.error('error: --executor and --set /executor name an executor each')
  for (const [earlier, later] of replaced(settings))
    err(`--set ${shown(earlier)} is not used: --set ${shown(later)} comes later\n`)
}

interface Shared {
  readonly plugin: readonly string[]
  readonly devices?: number
  readonly zero: boolean
}

/** Whole are those commands alone that the arguments name; of the others the help has name and description. */
const build = async (args: readonly string[], context: Context): Promise<Command> => {
  const program = new Command('latentgraph')
    .description('Latent diffusion as typed graphs: declare, check, train, sample.')
    .version(version(), '-V, --version', 'print the version')
    .option('--plugin <path>', 'a PJRT plugin, for the executors xla:* of this command', several, [])
    .option('--devices <n>', 'how many devices of an executor xla:* share a batch', count)
    .option('--zero', "each of the devices has a part of the optimiser's state, not all of it (ZeRO-1)", false)
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText('after', examples)
    .exitOverride()
    .configureOutput({ writeOut: context.terminal.out, writeErr: context.terminal.err })
  for (const { name, description, load } of commands) {
    const command = program.command(name).description(description)
    if (!args.includes(name)) continue
    const register = await load()
    register(command, context)
    refuseRepeats(command)
  }
  program.hook('preAction', async (_, command) => {
    const { plugin, devices = 1, zero }: Shared = program.opts()
    if (zero && devices === 1) program.error('error: --zero needs --devices of more than 1, of one process')
    const { askFor, askForDevices } = await import('../execute/xla/places.ts')
    askForDevices({ count: devices, optimizerState: zero ? 'parts' : 'whole' })
    for (const path of plugin) askFor(path)
    tellWaits(waits())
    sayReplaced(command, context.terminal)
  })
  return program
}

/** Runs the command line; never throws. Exit codes: 0 done, 1 failed, 2 a command line that cannot be understood. */
export const cli = async (args: readonly string[], terminal: Terminal): Promise<Outcome> => {
  const outcome: { code: Outcome } = { code: exitCodes.done }
  const context: Context = {
    terminal,
    run: async (command) => {
      outcome.code = await execute(terminal, command)
    },
    again: (other) => cli(other, terminal),
  }
  try {
    const program = await build(args, context)
    await program.parseAsync(args, { from: 'user' })
    return outcome.code
  } catch (reason) {
    if (reason instanceof CommanderError) return reason.exitCode === 0 ? exitCodes.done : exitCodes.usage
    terminal.err(showBug(reason))
    return exitCodes.failed
  }
}
