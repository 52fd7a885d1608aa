import { readFile } from 'node:fs/promises'
import { RNEA, t } from '../../src/prelude.ts'
import { peerModeNames, peerName } from '../peer.ts'
import { type Part, resultOf } from './parts.ts'

/** What was found, as tables of Markdown, from what the parts wrote. */

const Timed = t.type({ ms: t.number, peakMiB: t.number })
const Row = t.type({
  work: t.string,
  executor: t.string,
  precision: t.string,
  ours: Timed,
  peers: t.record(t.string, Timed),
  absent: t.record(t.string, t.string),
  ratio: t.union([t.number, t.null]),
})
const Bench = t.type({ rows: t.array(Row) })
type Row = t.TypeOf<typeof Row>
interface Told {
  readonly status: string
  readonly seconds: number
}

const line = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`
const rule = (n: number): string => line(...Array.from({ length: n }, () => '---'))
const rowsOf = async (out: string, name: string): Promise<readonly Row[]> => {
  const found: unknown = JSON.parse(await readFile(resultOf(out, name), 'utf8').catch(() => 'null'))
  return Bench.is(found) ? found.rows : []
}
const ratioOf = ({ ratio }: Row): number => ratio ?? 0
/** Of a work that several parts measured, each beside other peers, one line: our time as it was beside the fastest. */
const timedLines = (rows: readonly Row[]): readonly string[] => {
  const alike = RNEA.groupBy(({ executor, work, precision }: Row) => [executor, work, precision].join('|'))(rows)
  return Object.entries(alike).map(([key, same]) => {
    const peers = new Map(same.flatMap((row) => Object.entries(row.peers)))
    const telling = same.reduce((a, b) => (ratioOf(b) > ratioOf(a) ? b : a))
    return line(
      ...key.split('|'),
      telling.ours.ms.toFixed(1),
      ...peerModeNames.map((mode) => peers.get(mode)?.ms.toFixed(1) ?? '-'),
      telling.ratio?.toFixed(2) ?? '-',
    )
  })
}
const absentLines = (rows: readonly Row[]): readonly string[] => [
  ...new Set(
    rows.flatMap(({ absent, work }) => Object.entries(absent).map(([mode, why]) => `- no ${mode} of ${work}: ${why}`)),
  ),
]

/** What a part found, in its own words: the lines that tell it, or the last. */
const inShort = (text: string, { tells }: Part): string => {
  const lines = text.split('\n').flatMap((said) => said.trim() || [])
  const telling = tells === undefined ? [] : lines.filter((said) => tells.test(said))
  return (telling.length > 0 ? telling : lines.slice(-1)).join('; ').replaceAll('|', '/').slice(0, 400)
}

export const summary = async (
  out: string,
  parts: readonly Part[],
  told: Readonly<Record<string, Told>>,
  logOf: (part: Part) => string,
): Promise<string> => {
  const logs = await Promise.all(parts.map((part) => readFile(logOf(part), 'utf8').catch(() => '')))
  const rows = (await Promise.all(parts.map(({ name }) => rowsOf(out, name)))).flat()
  const machine = parts.findIndex(({ name }) => name === 'machine')
  return [
    '# What was found here',
    '',
    '```',
    (logs[machine] ?? '').trim(),
    '```',
    '',
    '## Time: medians in ms, beside PyTorch and JAX on the same machine',
    '',
    ...(rows.length === 0
      ? ['Nothing was measured.']
      : [
          line('executor', 'work', 'ours in', 'ours', ...peerModeNames.map(peerName), 'ours / fastest'),
          rule(5 + peerModeNames.length),
          ...timedLines(rows),
          '',
          'The last column is our time over that of the fastest peer in the same precision, which took turns with it: below 1 is faster. Of several parts our time is of those turns.',
          ...absentLines(rows),
        ]),
    '',
    '## Parts',
    '',
    'A part is `done`, or `failed`; it `timed out` at its own limit or that of all, and is `left out` where no time was left. Each has a file in `parts/`.',
    '',
    line('part', 'status', 's', 'what it found'),
    rule(4),
    ...parts.map((part, i) => {
      const { status = 'not begun', seconds = 0 } = told[part.name] ?? {}
      return line(part.name, status, String(seconds), inShort(logs[i] ?? '', part))
    }),
    '',
  ].join('\n')
}
