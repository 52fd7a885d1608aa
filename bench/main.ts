import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { benchOptions } from './options.ts'
import { type Answer, here, median, ours, type Side, side } from './side.ts'
import { sideBySide, smallWorks } from './side-by-side.ts'

const asked = benchOptions(process.argv.slice(2))
if (typeof asked === 'number') process.exit(asked)
const options = asked
const { rounds, threads } = options

/** Sources are beside the compiled bench's parent: dist/bench -> bench. */
const peerScript = [here('./peers/torch_peer.py'), here('../../bench/peers/torch_peer.py')].find(existsSync) ?? ''
/** glibc keeps freed memory, as ONNX Runtime's arena does: kinder to the peer. */
const keptMemory = { MALLOC_TRIM_THRESHOLD_: '4000000000', MALLOC_MMAP_THRESHOLD_: '4000000000' }
const torch = (): Side =>
  side(
    spawn(options.python, [peerScript], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, ...keptMemory },
    }).on('error', () => undefined),
  )

interface Row {
  readonly work: string
  readonly peer: string
  readonly oursMs: number
  readonly peerMs: number | null
  readonly ratio: number | null
  readonly oursPeakMiB: number
  readonly peerPeakMiB: number | null
}

const warmUp = 3
const compare = async (work: string): Promise<Row> => {
  const [us, them] = [ours(), torch()]
  const mine = await us.ask({ cmd: 'setup', work, threads, executor: options.executor })
  if (mine.ok !== true) throw new Error(mine.reason)
  const other = await them.ask({ cmd: 'setup', work: work.split('/')[0], threads, config: {} })
  const present = other.ok === true
  if (!present)
    console.log(`no peer for ${work}: ${other.reason ?? 'PyTorch is absent (apt-get install python3-torch)'}`)
  if (other.referenceBlas === true)
    console.log('PyTorch runs on the reference BLAS here, which flatters us: apt-get install libopenblas0-openmp')
  const [ourMs, theirMs]: [number[], number[]] = [[], []]
  for (let i = 0; i < rounds + warmUp; i++) {
    const a = await us.ask({ cmd: 'run', repeats: 1 })
    if (a.ok === false) throw new Error(a.reason)
    const b: Answer = present ? await them.ask({ cmd: 'run', repeats: 1 }) : {}
    if (i === 0 && present) {
      const [x, y] = [a.values?.[0] ?? Number.NaN, b.values?.[0] ?? Number.NaN]
      if (!(Math.abs(x - y) <= 1e-4 * Math.abs(y))) throw new Error(`${work}: not the same work: ${x} here, ${y} there`)
    }
    if (i >= warmUp) {
      ourMs.push(...(a.ms ?? []))
      theirMs.push(...(b.ms ?? []))
    }
  }
  const [ourMemory, theirMemory] = [await us.ask({ cmd: 'memory' }), present ? await them.ask({ cmd: 'memory' }) : {}]
  us.end()
  them.end()
  return {
    work,
    peer: present ? `PyTorch (${other.blas ?? 'unknown BLAS'})` : 'none',
    oursMs: median(ourMs),
    peerMs: present ? median(theirMs) : null,
    ratio: present ? median(ourMs) / median(theirMs) : null,
    oursPeakMiB: ourMemory.absoluteMiB ?? Number.NaN,
    peerPeakMiB: theirMemory.absoluteMiB ?? null,
  }
}

const cell = (x: number | null, digits: number, width: number): string =>
  (x === null ? '-' : x.toFixed(digits)).padStart(width)
const print = (r: Row): void =>
  console.log(
    `${r.work.padEnd(20)}${cell(r.oursMs, 1, 9)}${cell(r.peerMs, 1, 10)}${cell(r.ratio, 2, 8)}${cell(r.oursPeakMiB, 0, 11)}${cell(r.peerPeakMiB, 0, 11)}   ${r.peer}`,
  )

const withPeer = async (): Promise<readonly Row[]> => {
  console.log(
    `medians of ${rounds} alternated runs, ${threads} threads, ${options.executor}; ratio below 1: we are faster`,
  )
  console.log(
    `${'work'.padEnd(20)}${'ours ms'.padStart(9)}${'peer ms'.padStart(10)}${'ratio'.padStart(8)}${'ours MiB'.padStart(11)}${'peer MiB'.padStart(11)}   peer`,
  )
  const rows: Row[] = []
  for (const work of options.work ?? [
    'unet-sample',
    'sample-guided',
    'unet-train',
    'unet-train/2',
    'autoencoder-decode',
    'autoencoder-train',
    'autoencoder-train/2',
    'gan-train',
    'gan-lpips-train',
  ]) {
    const row = await compare(work)
    print(row)
    rows.push(row)
  }
  return rows
}

const rows =
  options.executors === undefined
    ? await withPeer()
    : await sideBySide(options.executors, options.work ?? smallWorks, { rounds, threads })
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(rows, null, 2)}\n`)
