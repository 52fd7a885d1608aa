import { type Effect, effect, fail } from '../error.ts'
import { reference } from '../execute/reference/index.ts'
import { loadExperiment } from '../experiment/load.ts'
import { asArgument } from '../io/names.ts'
import type { Law, Verdict } from '../laws/law.ts'
import type { Part } from '../laws/of-experiment.ts'
import { TE } from '../prelude.ts'
import { type Register, setOption, several } from './command.ts'
import { count, natural } from './parse.ts'
import { exitCodes, type Terminal } from './terminal.ts'

interface Options {
  readonly cases?: number
  readonly seed?: number
  readonly law?: string
  readonly path?: string
  readonly set: readonly string[]
}

/** fast-check comes with the laws, and is an optional package. */
const lawsOf = (e: Parameters<typeof import('../laws/of-experiment.ts').experimentLaws>[0]): Effect<readonly Part[]> =>
  effect(async (run) => {
    const found = await import('../laws/of-experiment.ts').catch(() => undefined)
    return run(
      TE.fromEither(
        found === undefined
          ? fail('usage', 'verify', 'the package fast-check', 'none', 'npm install fast-check')
          : found.experimentLaws(e),
      ),
    )
  })

/** What a person reads of a counterexample, at most so many lines. */
const mostLines = 6
/** Long lists of numbers, such as those of a schedule, in short. */
const clipped = (text: string): string => {
  const short = text.replaceAll(/\[(-?[\d.e+-]+)(?:,-?[\d.e+-]+){6,}\]/g, '[$1, ...]')
  return short.length > 200 ? `${short.slice(0, 197)}...` : short
}
const broken = (file: string, law: Law, { seed, counterexample }: Verdict, sets: readonly string[]): string => {
  if (counterexample === undefined) return ''
  const { lines, value, path, reason } = counterexample
  const told =
    lines.length === 0 ? [clipped(reason.split('\n')[0] ?? ''), clipped(`of ${value}`)] : lines.slice(0, mostLines)
  const set = sets.map((s) => ` --set ${asArgument(s)}`).join('')
  return [
    `  ${law.equation}`,
    ...told.map((line) => `  ${line}`),
    `  again: latentgraph verify ${asArgument(file)}${set} --law ${asArgument(law.name)} --seed ${seed}${path === '' ? '' : ` --path ${path}`}`,
    '',
  ].join('\n')
}
const shown = (x: number): string => x.toExponential(1)

const verifyParts = (
  file: string,
  parts: readonly Part[],
  { cases, seed, path, set }: Options,
  { out }: Terminal,
): Effect<number> =>
  TE.fromTask(async () => {
    const failed: string[] = []
    for (const { name, laws } of parts) {
      out(`${name}\n`)
      for (const law of laws) {
        const verdict = await law.check(reference, {
          ...(cases === undefined ? {} : { runs: cases }),
          ...(seed === undefined ? {} : { seed }),
          ...(path === undefined ? {} : { path }),
        })()
        const { holds, runs, worst } = verdict
        if (holds)
          out(
            `  holds   ${law.name}\n          ${law.equation}\n          ${runs} cases, worst error ${shown(worst)} of ${shown(law.tolerance.float64)} allowed (${law.source})\n`,
          )
        else {
          failed.push(law.name)
          out(`  BROKEN  ${law.name}\n${broken(file, law, verdict, set)}`)
        }
      }
    }
    const count = parts.reduce((n, { laws }) => n + laws.length, 0)
    out(
      failed.length === 0
        ? `\n${count} laws hold, in float64. Networks were tried on the smallest pictures they take, or not at all where they are large.\n`
        : `\n${failed.length} of ${count} laws broken: ${failed.join('; ')}\n`,
    )
    return failed.length === 0 ? exitCodes.done : exitCodes.failed
  })

export const verify: Register = (command, { terminal, run }) => {
  command
    .argument('<experiment>', 'its file, or the folder of a run')
    .option('--cases <number>', 'tried of each law; as many as each asks for where left out', count)
    .option('--seed <number>', 'of the cases; another one each time where left out', natural)
    .option('--law <name>', 'those alone whose name has these words')
    .option('--path <path>', 'of a counterexample that was found with that seed')
    .option(...setOption, several, [])
    .addHelpText('after', '\nExample:\n  latentgraph verify graphs/emoji.json --cases 100 --seed 1')
    .action((file: string, options: Options) =>
      run(
        effect(async (go) => {
          const parts = await go(lawsOf(await go(loadExperiment(file, options.set))))
          const { law = '' } = options
          const asked = parts
            .map((part) => ({ ...part, laws: part.laws.filter(({ name }) => name.includes(law)) }))
            .filter(({ laws }) => laws.length > 0)
          if (asked.length === 0) {
            const names = parts.flatMap(({ laws }) => laws.map(({ name }) => name))
            return go(TE.fromEither(fail('usage', '--law', `words of one of: ${names.join('; ')}`, law)))
          }
          return go(verifyParts(file, asked, options, terminal))
        }),
      ),
    )
}
