import { readFile } from 'node:fs/promises'
import { t } from '../../src/prelude.ts'
import { peerModeNames, peerName } from '../peer.ts'
import { type Part, resultOf } from './parts.ts'

/** What was found, as tables of Markdown, from what the parts wrote. */

const Timed = t.type({ ms: t.number, peakMiB: t.number })
const Bench = t.type({
  rows: t.array(
    t.type({ work: t.string, executor: t.string, precision: t.string, ours: Timed, peers: t.record(t.string, Timed) }),
  ),
})
interface Told {
  readonly status: string
  readonly seconds: number
}

const row = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`
const rule = (n: number): string => row(...Array.from({ length: n }, () => '---'))
const benchOf = async (out: string, name: string): Promise<t.TypeOf<typeof Bench> | undefined> => {
  const text = await readFile(resultOf(out, name), 'utf8').catch(() => 'null')
  const found: unknown = JSON.parse(text)
  return Bench.is(found) ? found : undefined
}
/** What a part came to, in its own words. */
const lastLine = (text: string): string => {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return (lines.at(-1) ?? '').trim().replaceAll('|', '/').slice(0, 160)
}

export const summary = async (
  out: string,
  parts: readonly Part[],
  told: Readonly<Record<string, Told>>,
  logOf: (part: Part) => string,
): Promise<string> => {
  const logs = await Promise.all(parts.map((part) => readFile(logOf(part), 'utf8').catch(() => '')))
  const timed: string[] = []
  for (const { name } of parts.filter((part) => part.name.startsWith('bench-'))) {
    for (const { work, executor, precision, ours, peers } of (await benchOf(out, name))?.rows ?? [])
      timed.push(
        row(executor, work, precision, ours.ms.toFixed(1), ...peerModeNames.map((m) => peers[m]?.ms.toFixed(1) ?? '-')),
      )
  }
  const machine = parts.findIndex(({ name }) => name === 'machine')
  return [
    '# A machine with a card',
    '',
    '```',
    (logs[machine] ?? '').trim(),
    '```',
    '',
    '## Time: medians in ms, beside PyTorch and JAX on the same machine',
    '',
    ...(timed.length === 0
      ? ['Nothing was measured.']
      : [
          row('executor', 'work', 'ours in', 'ours', ...peerModeNames.map(peerName)),
          rule(4 + peerModeNames.length),
          ...timed,
        ]),
    '',
    '## Parts',
    '',
    row('part', 'status', 's', 'its last line'),
    rule(4),
    ...parts.map((part, i) => {
      const { status = 'not begun', seconds = 0 } = told[part.name] ?? {}
      return row(part.name, status, String(seconds), lastLine(logs[i] ?? ''))
    }),
    '',
  ].join('\n')
}
