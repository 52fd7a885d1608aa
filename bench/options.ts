import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { executorNames } from '../src/execute/auto.ts'
import { type PeerDevice, type PeerMode, type Precision, peerModeNames, precisionOf } from './peer.ts'
import { works } from './works.ts'

/** What `npm run bench -- ...` was asked for. */
export interface BenchOptions {
  readonly work: readonly string[] | undefined
  readonly executor: string
  readonly precision: Precision
  readonly modes: readonly PeerMode[] | undefined
  /** How our time grows, in place of peers. */
  readonly growth: boolean | undefined
  /** Our executors beside each other, in place of PyTorch. */
  readonly executors: readonly string[] | undefined
  readonly rounds: number
  readonly threads: number
  readonly json: string | undefined
  readonly svg: string | undefined
  readonly python: string
  readonly jax: string
  readonly device: PeerDevice
}

const oneOf =
  (names: readonly string[]) =>
  (name: string): string => {
    if (names.includes(name)) return name
    throw new InvalidArgumentError(`Allowed: ${names.join(', ')}.`)
  }
const count = (text: string): number => {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected a whole number above 0.')
}
const work = oneOf(Object.keys(works))
const executor = oneOf(executorNames)
const mode = oneOf(peerModeNames)

const command = (): Command =>
  new Command('npm run bench --')
    .description(
      "Our works beside PyTorch's, in each of its modes, and JAX's: processes taking turns, iteration by iteration; medians, and their ratio to the fastest mode of the same precision, below 1 is faster. NAME/2 is the work in two micro-batches here, in one there.",
    )
    .option(
      '--work <name>',
      'one of them alone; can be repeated',
      (name: string, before?: readonly string[]) => [...(before ?? []), work(name)],
      undefined,
    )
    .addOption(
      new Option('--executor <name>', 'what runs ours').argParser(executor).default('onnx:cpu').conflicts('executors'),
    )
    .option('--executors <names>', 'our executors beside each other, on small works: onnx:cpu,tfjs:wasm', (names) =>
      names.split(',').map(executor),
    )
    .addOption(
      new Option('--precision <dtype>', 'what ours is computed in')
        .choices([...new Set(peerModeNames.map(precisionOf))])
        .default('float32'),
    )
    .option(
      '--mode <name>',
      `a mode of a peer alone: ${peerModeNames.join(', ')}; can be repeated`,
      (name: string, before?: readonly string[]) => [...(before ?? []), mode(name)],
      undefined,
    )
    .addOption(
      new Option(
        '--growth',
        'how our training step of the U-Net grows with batch, size and parameters, in place of peers',
      ).conflicts(['executors', 'work']),
    )
    .option('--svg <file>', 'what was measured beside PyTorch, as a picture')
    .option('--rounds <n>', 'runs of each side', count, 15)
    .option('--threads <n>', 'of each side', count, 2)
    .option('--json <file>', 'what was measured, as JSON')
    .option('--python <program>', 'that has PyTorch', '/usr/bin/python3')
    .option('--jax <program>', 'a Python that has JAX; that of --python unless said')
    .addOption(
      new Option('--device <name>', 'where PyTorch computes; JAX takes what it has')
        .choices(['cpu', 'cuda'] satisfies readonly PeerDevice[])
        .default('cpu'),
    )
    .helpOption('-h, --help', 'print help')
    .addHelpText('after', `\nWorks: ${Object.keys(works).join(', ')}\nExecutors: ${executorNames.join(', ')}`)
    .allowExcessArguments(false)
    .exitOverride()

/** The options, or the exit code of a command line that asks for help (0) or cannot be understood (2), after it was told. */
export const benchOptions = (args: readonly string[]): BenchOptions | number => {
  try {
    const { mode: modes, ...given } = command()
      .parse(args, { from: 'user' })
      .opts<Omit<BenchOptions, 'modes' | 'jax'> & { mode?: readonly PeerMode[]; jax?: string }>()
    return { ...given, modes, jax: given.jax ?? given.python }
  } catch (reason) {
    if (reason instanceof CommanderError) return reason.exitCode === 0 ? 0 : 2
    throw reason
  }
}
