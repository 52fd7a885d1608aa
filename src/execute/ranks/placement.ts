import { type Checked, collect, fail, failure } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'

/** Where the first of several processes listens, to whom all of them connect. */
export interface Address {
  readonly host: string
  readonly port: number
}
/** Which of how many processes this one is. */
export interface Placement {
  readonly coordinator: Address
  readonly rank: number
  readonly ranks: number
  /** Among the processes of its machine, where a launcher says it. */
  readonly localRank?: number
}

export const showAddress = ({ host, port }: Address): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
/** `host:port`, `[2001:db8::1]:port`. */
export const parseAddress = (text: string): Checked<Address> => {
  const [, bracketed, plain, digits] = /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const [host, port] = [bracketed ?? plain, Number(digits)]
  return host === undefined || port < 1 || port > 65535
    ? fail('usage', '--coordinator', 'HOST:PORT, a port from 1 to 65535', text)
    : E.right({ host, port })
}

type Environment = Readonly<Record<string, string | undefined>>
const natural = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined

/** Of the ephemeral ports the last 4096, by the number of a job, as JAX has it. */
const portOf = (job: number): number => (job % 4096) + 61440

/** The first host of `node001`, `node001,host2`, `node[001-015],host2`, `node[001,007-015]`, `rack[1-2]n[03-04]`. */
export const firstHost = (list: string): string | undefined => {
  const [, first = ''] = /^((?:[^,[]|\[[^\]]*\])*)/.exec(list.trim()) ?? []
  const host = first.replace(/\[([^\],-]*)[^\]]*\]/g, '$1')
  return host === '' ? undefined : host
}

/** What a launcher writes into the environment of the processes that it starts. */
interface Launcher {
  readonly name: string
  /** Variables, of which the first that is there counts. */
  readonly rank: readonly string[]
  readonly ranks: readonly string[]
  readonly localRank: readonly string[]
  /** Where the first process can be reached, and the number of the job. */
  readonly coordinator: (env: Environment) => Partial<Address>
}
/**
 * The nearest first: what an MPI has started inside an allocation of Slurm has Slurm's variables too, which then are of the launcher.
 * As JAX's `distributed.initialize` reads them.
 */
const launchers: readonly Launcher[] = [
  {
    name: 'Open MPI',
    rank: ['OMPI_COMM_WORLD_RANK'],
    ranks: ['OMPI_COMM_WORLD_SIZE'],
    localRank: ['OMPI_COMM_WORLD_LOCAL_RANK'],
    // 1531576320.0;tcp://10.96.0.1,10.148.0.1:34911, tcp6://[fe80::b9b,2620::2]:43370; jobs are numbered in steps of 4096.
    coordinator: ({ OMPI_MCA_orte_hnp_uri: uri = '' }) => {
      const [, v4, v6] = /;tcp:\/\/([^,:]+)|;tcp6:\/\/\[([^,\]]+)/.exec(uri) ?? []
      const [host, job] = [v4 ?? v6, natural(/^\d+/.exec(uri)?.[0])]
      return {
        ...(host === undefined ? {} : { host }),
        ...(job === undefined ? {} : { port: portOf(Math.floor(job / 4096)) }),
      }
    },
  },
  {
    name: 'MPICH',
    rank: ['PMI_RANK'],
    ranks: ['PMI_SIZE'],
    localRank: ['MPI_LOCALRANKID', 'PMI_LOCAL_RANK'],
    coordinator: () => ({}),
  },
  {
    name: 'Slurm',
    rank: ['SLURM_PROCID'],
    ranks: ['SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS', 'SLURM_NPROCS'],
    localRank: ['SLURM_LOCALID'],
    coordinator: (env) => {
      const nodes = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST ?? env.SLURM_NODELIST ?? ''
      const [host, job] = [
        firstHost(nodes) ?? env.SLURM_LAUNCH_NODE_IPADDR,
        natural(env.SLURM_JOB_ID ?? env.SLURM_JOBID),
      ]
      return { ...(host === undefined ? {} : { host }), ...(job === undefined ? {} : { port: portOf(job) }) }
    },
  },
]
const read = (env: Environment, names: readonly string[]): number | undefined =>
  names.map((name) => natural(env[name])).find((n) => n !== undefined)

/** What a launcher says of this process. */
export interface Launched {
  readonly name: string
  readonly rank: number
  readonly ranks: number
  readonly localRank?: number
  readonly coordinator?: Address
}
/** Which of a launcher's processes this is; undefined where none has started it, or it alone. */
export const launchedBy = (env: Environment): Launched | undefined => {
  const found = launchers.flatMap((launcher) => {
    const [rank, ranks] = [read(env, launcher.rank), read(env, launcher.ranks)]
    return rank === undefined || ranks === undefined ? [] : [{ launcher, rank, ranks }]
  })
  const [first] = found
  if (first === undefined || first.ranks < 2) return undefined
  const { launcher, rank, ranks } = first
  const localRank = read(env, launcher.localRank)
  const said = found.map((f) => f.launcher.coordinator(env))
  const host = said.find((address) => address.host !== undefined)?.host
  const port = said.find((address) => address.port !== undefined)?.port
  return {
    ...{ name: launcher.name, rank, ranks },
    ...(localRank === undefined ? {} : { localRank }),
    ...(host === undefined || port === undefined ? {} : { coordinator: { host, port } }),
  }
}

/** What the command line says. */
export interface Asked {
  readonly coordinator?: string | undefined
  readonly rank?: number | undefined
  readonly ranks?: number | undefined
}
const example = 'all three, the same but --rank for each process: --coordinator node1:9321 --rank 0 --ranks 2'
const needed = <A>(option: string, what: string, value: A | undefined, got: string): Checked<A> =>
  value === undefined ? fail('usage', option, what, got, example) : E.right(value)

/**
 * Which of how many processes this one is: as the command line says it, and a launcher what that leaves out. Undefined: the only one.
 * Errors: `usage`, each part that neither says; a rank that is none of them.
 */
export const placementOf = (asked: Asked, launched: Launched | undefined): Checked<Placement | undefined> => {
  const ranks = asked.ranks ?? launched?.ranks
  const isAsked = Object.values(asked).some((x) => x !== undefined)
  if (!isAsked && launched === undefined) return E.right(undefined)
  if (ranks === 1 && (asked.rank ?? 0) === 0) return E.right(undefined)
  const got = launched === undefined ? 'nothing, nor a launcher' : `nothing, nor ${launched.name}`
  const rank = asked.rank ?? launched?.rank
  return pipe(
    collect<Partial<Placement>>([
      pipe(
        needed('--ranks', 'how many processes there are', ranks, got),
        E.map((n) => ({ ranks: n })),
      ),
      pipe(
        needed('--rank', 'which of the processes this is, from 0', rank, got),
        E.map((n) => ({ rank: n })),
      ),
      pipe(
        asked.coordinator === undefined
          ? needed('--coordinator', 'HOST:PORT, where rank 0 listens', launched?.coordinator, got)
          : parseAddress(asked.coordinator),
        E.map((coordinator) => ({ coordinator })),
      ),
      rank === undefined || ranks === undefined || rank < ranks
        ? E.right({})
        : E.left([failure('usage', '--rank', `one of 0 to ${ranks - 1}, as there are ${ranks}`, String(rank))]),
    ]),
    E.map((parts) => {
      const { coordinator, rank: own, ranks: all }: Partial<Placement> = Object.assign({}, ...parts)
      if (coordinator === undefined || own === undefined || all === undefined) return undefined
      const { localRank } = asked.rank === undefined || asked.rank === launched?.rank ? (launched ?? {}) : {}
      return { coordinator, rank: own, ranks: all, ...(localRank === undefined ? {} : { localRank }) }
    }),
  )
}
