import { execFile, spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Command, InvalidArgumentError } from 'commander'
import { executorNames } from '../../src/execute/names.ts'
import { t } from '../../src/prelude.ts'
import { here } from '../side.ts'
import { bundle } from './bundle.ts'
import { measurements, type Part, type Setting, setups, usable } from './parts.ts'
import { summary } from './summary.ts'

const named = (names: string): readonly string[] =>
  names.split(',').map((name) => {
    if ((executorNames as readonly string[]).includes(name)) return name
    throw new InvalidArgumentError(`Allowed: ${executorNames.join(', ')}.`)
  })
const minutes = (text: string): number => {
  const n = Number(text)
  if (n > 0) return n
  throw new InvalidArgumentError('Expected a number above 0.')
}
const command = new Command('bench/gpu.sh')
  .description(
    'What runs on this machine’s card, whether it is right, and how fast beside PyTorch and JAX: one folder of tables.',
  )
  .option('--out <dir>', 'of the results; parts that are done there are not done again', 'gpu-results')
  .option('--python <program>', 'that has PyTorch, JAX and XLA’s plugin, TensorFlow: what of them there is', 'python3')
  .option('--jax <program>', 'a Python that has JAX, where it is another')
  .option('--plugin <path>', 'a plugin of XLA, or a folder or wheel with one, in place of that Python’s')
  .option(
    '--tensorflow <dir>',
    'a virtual environment or folder of packages with TensorFlow, in place of that Python’s',
  )
  .option('--executors <names>', 'in place of those that the card has', named)
  .option('--minutes <n>', 'in all', minutes, 8)
  .option('--patience <n>', 'how many times as long each part may take, on a machine that is slow or busy', minutes, 1)
  .option('--small', 'works that a CPU finishes in seconds: these are taken where there is no card')
  .option('--bundle <file>', 'pack what a machine without network must be given, a .tar.xz, and measure nothing')
  .allowExcessArguments(false)
interface Options {
  readonly out: string
  readonly python: string
  readonly jax?: string
  readonly plugin?: string
  readonly tensorflow?: string
  readonly executors?: readonly string[]
  readonly minutes: number
  readonly patience: number
  readonly small?: true
  readonly bundle?: string
}
const options = command.parse(process.argv.slice(2), { from: 'user' }).opts<Options>()
const root = [here('../..'), here('../../..')].find((path) => existsSync(join(path, 'package.json'))) ?? '.'
if (options.bundle !== undefined) {
  console.log(await bundle(root, resolve(options.bundle)))
  process.exit(0)
}

const out = resolve(options.out)
await mkdir(join(out, 'parts'), { recursive: true })

/** What engines write down, and compile, stays with the results. */
const environment = (packages: string | undefined): NodeJS.ProcessEnv => {
  const cuda =
    packages === undefined ? [] : ['cu13', 'cuda_nvcc'].map((name) => join(packages, 'nvidia', name)).filter(existsSync)
  const [data] = cuda
  return {
    ...process.env,
    XDG_CONFIG_HOME: join(out, 'config'),
    XDG_CACHE_HOME: join(out, 'cache'),
    XDG_DATA_HOME: join(out, 'data'),
    XLA_PYTHON_CLIENT_PREALLOCATE: 'false',
    PYTHONUNBUFFERED: '1',
    ...(data === undefined || process.env.XLA_FLAGS !== undefined
      ? {}
      : { XLA_FLAGS: `--xla_gpu_cuda_data_dir=${data}` }),
  }
}

const Told = t.type({
  status: t.keyof({ done: null, failed: null, 'timed out': null, stopped: null, 'left out': null }),
  seconds: t.number,
})
export type Told = t.TypeOf<typeof Told>
const state = join(out, 'parts.json')
const Kept = t.record(t.string, Told)
const readState = async (): Promise<Readonly<Record<string, Told>>> => {
  const kept: unknown = JSON.parse(await readFile(state, 'utf8').catch(() => '{}'))
  return Kept.is(kept) ? kept : {}
}
const told: Record<string, Told> = { ...(await readState()) }
const logOf = ({ name }: Pick<Part, 'name'>): string => join(out, 'parts', `${name.replaceAll(/[:/]/g, '-')}.txt`)

/** By Ctrl-C, or a queue: what runs is ended, the rest is left out, and what was found is written down. */
const stopping: { asked: boolean; now: () => void } = { asked: false, now: () => {} }
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    stopping.asked = true
    stopping.now()
  })

/** In a process group of its own, which ends with it. */
const ran = (
  { command: [program = '', ...args], seconds, ...part }: Part,
  env: NodeJS.ProcessEnv,
  limit: number,
): Promise<Told> =>
  new Promise((done) => {
    const started = performance.now()
    const log = openSync(logOf(part), 'w')
    const child = spawn(program, args, { cwd: out, env, stdio: ['ignore', log, log], detached: true })
    let late = false
    const stop = (): void => {
      if (child.pid !== undefined)
        try {
          process.kill(-child.pid, 'SIGKILL')
        } catch {
          // it has ended
        }
    }
    stopping.now = stop
    const timer = setTimeout(
      () => {
        late = true
        stop()
      },
      1000 * Math.min(seconds * options.patience, limit),
    )
    const end = (code: number | null): void => {
      clearTimeout(timer)
      stop()
      const status = stopping.asked ? 'stopped' : late ? 'timed out' : code === 0 ? 'done' : 'failed'
      done({ status, seconds: Math.round((performance.now() - started) / 100) / 10 })
    }
    child.once('error', () => end(null))
    child.once('exit', end)
  })

const begun = performance.now()
const left = (): number => 60 * options.minutes - (performance.now() - begun) / 1000
const run = async (part: Part, env: NodeJS.ProcessEnv): Promise<void> => {
  if (told[part.name]?.status === 'done' && part.sets !== true) return
  const limit = left()
  if (limit < 5 || stopping.asked) told[part.name] = { status: 'left out', seconds: 0 }
  else {
    process.stdout.write(`${part.name} ...`)
    told[part.name] = await ran(part, env, limit)
    console.log(` ${told[part.name]?.status}, ${told[part.name]?.seconds} s`)
  }
  await writeFile(state, `${JSON.stringify(told, null, 2)}\n`)
}

const packagesOf = async (): Promise<string | undefined> =>
  promisify(execFile)(options.python, ['-c', "import sysconfig; print(sysconfig.get_paths()['purelib'])"], {
    timeout: 20_000,
  }).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
const packages = await packagesOf()
const env = environment(packages)
const has = (name: string): boolean => packages !== undefined && existsSync(join(packages, name))
const fixtures =
  ['fixtures', '../shared/fixtures', 'test/golden/fixtures'].map((path) => join(root, path)).find(existsSync) ?? ''
const setting: Setting = {
  node: process.execPath,
  root,
  fixtures,
  out,
  python: options.python,
  jax: options.jax ?? options.python,
  packages: has('jax_plugins') ? packages : undefined,
  plugin: options.plugin === undefined ? undefined : resolve(options.plugin),
  tensorflow:
    options.tensorflow === undefined ? (has('tensorflow') ? packages : undefined) : resolve(options.tensorflow),
  small: options.small === true,
  device: 'cuda',
}
for (const part of setups(setting)) await run(part, env)
const found = usable(await readFile(logOf({ name: 'doctor' }), 'utf8').catch(() => ''))
const executors = options.executors ?? found
const onCpu = executors.every((name) => name === 'xla:cpu' || name === 'tfjs:node' || name === 'onnx:cpu')
const parts = measurements({ ...setting, ...(onCpu ? { small: true, device: 'cpu' } : {}) }, executors)
console.log(
  executors.length === 0
    ? `executors: none that this is for; ${logOf({ name: 'doctor' })} says why`
    : `executors: ${executors.join(', ')}${onCpu ? ', which stand in for a card' : ''}`,
)
for (const part of parts) await run(part, env)
const all = [...setups(setting), ...parts]
const about = await summary(out, all, told, logOf)
await writeFile(join(out, 'summary.md'), about)
console.log(`\n${about}\n${join(out, 'summary.md')}`)
const isDone = parts.length > 0 && all.every(({ name }) => told[name]?.status === 'done')
process.exit(stopping.asked ? 130 : isDone ? 0 : 1)
