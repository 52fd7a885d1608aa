import { basename } from 'node:path'
import { Option } from 'commander'
import { effect } from '../error.ts'
import { loadDeclaration } from '../experiment/load.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { type Register, setOption, several } from './command.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly mermaid?: true
  readonly svg?: true
  readonly html?: true
  readonly out?: string
  readonly set: readonly string[]
}

const nameOf = (file: string): string => basename(file.replace(/[\\/]+$/, '')).replace(/\.json$/i, '')

export const graph: Register = (command, { terminal, run }) => {
  command
    .argument('<file>', 'an experiment, a published model or a graph, JSON, or the folder of a run')
    .addOption(
      new Option('--html', 'a page with pictures, and every block to unfold; so where nothing is said').conflicts([
        'mermaid',
        'svg',
      ]),
    )
    .addOption(new Option('--svg', 'the pictures alone').conflicts('mermaid'))
    .option('--mermaid', "the blocks in Mermaid's language, for Markdown")
    .option('--out <file>', 'where it is written; on the terminal where left out')
    .option(...setOption, several, [])
    .addHelpText(
      'after',
      `
Examples:
  latentgraph graph graphs/published/stable-diffusion-v1.json --html --out sd.html
  latentgraph graph graphs/emoji.json --svg --out emoji.svg
  latentgraph graph runs/emoji --mermaid`,
    )
    .action((file: string, { mermaid, svg, out, set }: Options) =>
      run(
        effect(async (go) => {
          const { completed } = await import('../pipelines/tuning.ts')
          const declared = await go(loadDeclaration(file, set, completed))
          const { sectionsOf } = await import('./model-sections.ts')
          const { drawn } = await import('./model-drawn.ts')
          const found = await go(sectionsOf(declared))
          const text = drawn(nameOf(file), found, mermaid === true ? 'mermaid' : svg === true ? 'svg' : 'html')
          if (out === undefined) terminal.out(text)
          else {
            await go(writeFileAtomic(out, new TextEncoder().encode(text)))
            terminal.out(`${out}\n`)
          }
          return exitCodes.done
        }),
      ),
    )
}
