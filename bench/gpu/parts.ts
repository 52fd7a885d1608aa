import type { PeerDevice } from '../peer.ts'

/** What is asked of a machine with a card, as commands, the most telling first. */

export interface Part {
  readonly name: string
  /** How long it may take. */
  readonly seconds: number
  /** A program and its arguments. */
  readonly command: readonly string[]
  /** Whether its failing leaves others without what they need. */
  readonly sets?: boolean
  /** Lines of its output that say what was found; the last where left out. */
  readonly tells?: RegExp
}

/** What parts are written for. */
export interface Setting {
  readonly node: string
  /** Where `dist`, `bench` and the fixtures are. */
  readonly root: string
  readonly fixtures: string
  /** The folder of results. */
  readonly out: string
  readonly python: string
  /** That has JAX. */
  readonly jax: string
  /** Of the Python's packages. */
  readonly packages: string | undefined
  /** A plugin of XLA, or a folder or wheel with one, where it is not among them. */
  readonly plugin: string | undefined
  readonly tensorflow: string | undefined
  /** Works that a CPU finishes in seconds. */
  readonly small: boolean
  /** Where PyTorch computes. */
  readonly device: PeerDevice
}

/** What a part measured, as JSON. */
export const resultOf = (out: string, part: string): string => `${out}/${part.replaceAll(':', '-')}.json`

const cli = ({ node, root }: Setting, ...args: readonly string[]): readonly string[] => [
  node,
  `${root}/dist/src/cli/main.js`,
  ...args,
]

const picturesIn = ({ out }: Setting): string => `${out}/pictures`
/** An experiment's data, in place of emoji, which a bundle has not. */
const data = (of: Setting): string =>
  `/data=${JSON.stringify({ kind: 'folder', path: picturesIn(of), size: 16, heldOut: 6 })}`

/** What makes engines known, and what they are tried with. */
export const setups = (of: Setting): readonly Part[] => {
  const plugin = of.plugin ?? of.packages
  return [
    {
      name: 'machine',
      seconds: 20,
      tells: / cores,/,
      command: [of.node, `${of.root}/dist/bench/gpu/about.js`, of.python, of.jax],
    },
    ...(plugin === undefined
      ? []
      : [{ name: 'setup-xla', seconds: 30, sets: true, command: cli(of, 'setup', 'xla', '--from', plugin) }]),
    ...(of.tensorflow === undefined
      ? []
      : [
          {
            name: 'setup-tensorflow',
            seconds: 60,
            sets: true,
            command: cli(of, 'setup', 'tensorflow', '--from', of.tensorflow),
          },
        ]),
    {
      name: 'pictures',
      seconds: 20,
      sets: true,
      command: [of.node, `${of.root}/dist/bench/gpu/pictures.js`, picturesIn(of)],
    },
    { name: 'doctor', seconds: 60, sets: true, tells: /^\S+:\S+ +usable/, command: cli(of, 'doctor') },
  ]
}

/** Executors that compute in 16 bits themselves, and those whose programs say what memory they take. */
const hasHalf = (executor: string): boolean => executor.startsWith('xla:') || executor === 'tfjs:node-gpu'
const tellsMemory = (executor: string): boolean => executor.startsWith('xla:')
const works = {
  large: ['gpu-unet-train', 'gpu-unet-sample', 'gpu-half-sample', 'gpu-autoencoder-train'],
  small: ['small-unet-train', 'small-unet-sample', 'small-autoencoder-train'],
} as const

/** Peers a few at a time, so that one that takes long to compile costs no other its row. */
const rivals = [
  { modes: ['eager', 'channels_last'], precision: 'float32', seconds: 90 },
  { modes: ['bfloat16'], precision: 'bfloat16', seconds: 75 },
  { modes: ['jax'], precision: 'float32', seconds: 90 },
  { modes: ['jax_bfloat16'], precision: 'bfloat16', seconds: 90 },
  { modes: ['compiled'], precision: 'float32', seconds: 120 },
] as const
const bench = (of: Setting, executor: string, work: string): readonly Part[] =>
  rivals
    .filter(
      // A processor computes in bfloat16 for minutes, and the peer that is compiled needs a compiler.
      ({ precision, modes: [mode] }) =>
        of.small ? precision === 'float32' && mode !== 'compiled' : precision === 'float32' || hasHalf(executor),
    )
    .map(({ modes, precision, seconds }) => {
      const name = `bench-${executor}-${work}-${modes[0]}`
      return {
        name,
        seconds,
        tells: new RegExp(`^${work} +\\d`),
        command: [
          ...[
            of.node,
            `${of.root}/dist/bench/main.js`,
            '--executor',
            executor,
            '--work',
            work,
            '--precision',
            precision,
          ],
          ...['--rounds', '5', '--python', of.python, '--jax', of.jax, '--device', of.device],
          ...['--json', resultOf(of.out, name), ...modes.flatMap((mode) => ['--mode', mode])],
        ],
      }
    })

/** What is asked of an executor: right first, then fast, then training, then the same on shapes of all kinds. */
const ofExecutor = (of: Setting, executor: string): readonly Part[] => {
  const [first, ...others] = of.small ? works.small : works.large
  const tiny = `${of.root}/graphs/tiny.json`
  return [
    {
      name: `laws-${executor}`,
      seconds: 60,
      command: [of.node, `${of.root}/dist/bench/gpu/laws.js`, executor, of.small ? '1' : '2'],
    },
    ...bench(of, executor, first),
    {
      name: `training-${executor}`,
      tells: /bits$|compiling included$/,
      seconds: 90,
      command: [
        of.node,
        `${of.root}/dist/bench/gpu/training.js`,
        executor,
        of.root,
        `${of.out}/runs/${executor.replace(':', '-')}`,
        data(of),
      ],
    },
    ...['attention', 'unet', 'training'].map((area) => ({
      name: `conformance-${executor}-${area}`,
      seconds: 45,
      command: cli(of, 'conformance', '--fixtures', of.fixtures, '--area', area, '--executor', executor),
    })),
    ...(tellsMemory(executor)
      ? [
          {
            name: `memory-${executor}`,
            tells: / as compiled/,
            seconds: 60,
            command: cli(of, 'check', tiny, '--set', data(of), '--explain', '--executor', executor),
          },
        ]
      : []),
    ...others.flatMap((work) => bench(of, executor, work)),
  ]
}
/** Of all executors, the first first. */
export const measurements = (of: Setting, executors: readonly string[]): readonly Part[] =>
  executors.flatMap((executor) => ofExecutor(of, executor))

/** The executors that `doctor` says can be used, the accelerators first: without one what stands in for them on the CPU. */
export const usable = (doctor: string): readonly string[] => {
  const found = [...doctor.matchAll(/^ {2}(\S+:\S+) +usable/gm)].map(([, name = '']) => name)
  const onGpu = found.filter((name) => /^xla:(?!cpu)|^tfjs:node-gpu$|webgpu$/.test(name))
  const rank = (name: string): number =>
    ['xla:', 'tfjs:node', 'onnx:webgpu', 'tfjs:webgpu'].findIndex((p) => name.startsWith(p))
  const standIns = ['xla:cpu', 'tfjs:node'].filter((name) => found.includes(name))
  return onGpu.length > 0 ? [...onGpu].sort((a, b) => rank(a) - rank(b)) : standIns
}
