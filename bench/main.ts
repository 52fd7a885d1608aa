import { writeFile } from 'node:fs/promises'
import { compare, type Row } from './compare.ts'
import { type Growth, growth, growthLine } from './growth.ts'
import { machine, showMachine, usualModes } from './machine.ts'
import { benchOptions } from './options.ts'
import { peerModeNames } from './peer.ts'
import { sideBySide, smallWorks } from './side-by-side.ts'
import { comparedWorks, flopsOfWork } from './works.ts'

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const asked = benchOptions(process.argv.slice(2))
if (typeof asked === 'number') process.exit(asked)
const options = asked
const { executor, precision, rounds, threads, python, jax, device } = options

const cell = (x: number | null | undefined, digits: number, width: number): string =>
  (x === null || x === undefined ? '-' : x.toFixed(digits)).padStart(width)
const heading = ['ours', ...peerModeNames].map((name) => name.padStart(14)).join('')
const line = ({ work, ours, peers, ratio, share }: Row): string => {
  const times = [ours, ...peerModeNames.map((mode) => peers[mode])]
  return [
    `${work.padEnd(20)}${times.map((t) => cell(t?.ms, 1, 14)).join('')}${cell(ratio, 2, 8)}${cell(share === null ? null : share * 100, 0, 7)}`,
    `${'  peak MiB'.padEnd(20)}${times.map((t) => cell(t?.peakMiB, 0, 14)).join('')}`,
  ].join('\n')
}

const withPeers = async (): Promise<object> => {
  const chosen = options.work ?? comparedWorks
  const about = await machine({ python, jax, threads }, device === 'cpu' ? ['float32', 'bfloat16'] : [])
  const modes = options.modes ?? usualModes(about)
  console.log(showMachine(about))
  for (const mode of peerModeNames.filter((name) => options.modes === undefined && !modes.includes(name)))
    console.log(`no ${mode}: this processor has no arithmetic in it; --mode ${mode} measures it all the same`)
  console.log(
    `medians of ${rounds} alternated runs in ms, ${threads} threads, ours ${executor} in ${precision}; whoever waits is stopped`,
  )
  console.log(`${'work'.padEnd(20)}${heading}${'ratio'.padStart(8)}${'% peak'.padStart(7)}`)
  const rows: Row[] = []
  for (const [i, work] of chosen.entries()) {
    if (process.stderr.isTTY) process.stderr.write(`${i + 1} of ${chosen.length}: ${work}\r`)
    const row = await compare(work, flopsOfWork(work), about.peak[precision], {
      ...{ executor, precision, modes, rounds, threads, python, jax, device },
      say: console.log,
    })
    console.log(line(row))
    for (const [mode, reason] of Object.entries(row.absent)) console.log(`  no ${mode}: ${reason}`)
    rows.push(row)
  }
  console.log('ratio: our time over that of the fastest peer in the same precision; below 1 is faster')
  if (options.svg !== undefined) {
    // What draws is not in the bundle.
    const { chart } = await import('./chart.ts')
    await writeFile(options.svg, await chart(rows, showMachine(about)))
  }
  return { machine: about, threads, rounds, rows }
}

const growing = async (): Promise<readonly Growth[]> => {
  console.log(
    `${executor} in ${precision}, ${threads} threads: how the time of a step of the U-Net grows, medians of ${rounds}`,
  )
  const found: Growth[] = []
  for await (const g of growth({ executor, precision, rounds, threads })) {
    console.log(growthLine(g))
    found.push(g)
  }
  return found
}

const measured =
  options.executors !== undefined
    ? await sideBySide(options.executors, options.work ?? smallWorks, { rounds, threads })
    : options.growth === true
      ? await growing()
      : await withPeers()
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(measured, null, 2)}\n`)
