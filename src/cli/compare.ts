import { effect, fail } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { TE } from '../prelude.ts'
import type { Comparison } from '../train/report/compare.ts'
import type { Register } from './command.ts'
import { count, natural } from './parse.ts'
import { tableText } from './table.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly out: string
  readonly seed: number
  readonly count: number
  readonly samples: boolean
}

const widest = 40
const clipped = (text: string): string => (text.length > widest ? `${text.slice(0, widest - 3)}...` : text)

const text = ({ runs, differences }: Comparison, figures: readonly (readonly string[])[]): string => {
  const names = runs.map(({ dir }) => dir)
  const where =
    differences.length === 0
      ? 'the experiments are the same\n'
      : tableText([
          ['differ in', ...names],
          ...differences.map(({ pointer, values }) => [pointer, ...values.map(clipped)]),
        ])
  return `${where}\n${tableText([['last', ...names], ...figures])}`
}

export const compare: Register = (command, { terminal, run }) => {
  command
    .argument('<runs...>', 'their folders, two at least')
    .option('--out <path>', 'the page that is written', 'compare.html')
    .option('--seed <n>', 'of the noise that all draw from', natural, 1)
    .option('--count <n>', 'pictures of each kind', count, 4)
    .option('--no-samples', 'draw nothing')
    .addHelpText('after', '\nExample:\n  latentgraph compare runs/emoji runs/emoji-2 --out compare.html')
    .action((runs: readonly string[], { out, seed, count: each, samples }: Options) =>
      run(
        effect(async (go) => {
          const twice = runs.find((dir, i) => runs.indexOf(dir) < i)
          if (runs.length < 2 || twice !== undefined)
            return go(
              TE.fromEither(fail('usage', '<runs>', 'two runs at least, each once', `${twice ?? runs.join(', ')}`)),
            )
          const { compared } = await import('../run/compared.ts')
          const { compareHtml, figureRows } = await import('../train/report/compare.ts')
          const say = (line: string): void => terminal.err(`${line}\n`)
          const found = await go(compared({ runs, seed: samples ? seed : undefined, count: each, say }))
          await go(writeFileAtomic(out, new TextEncoder().encode(compareHtml(found))))
          terminal.out(text(found, figureRows(found.runs)))
          say(`curves${samples ? ' and samples' : ''}: ${out}`)
          return exitCodes.done
        }),
      ),
    )
}
