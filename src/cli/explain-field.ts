import { explainExperiment } from '../experiment/explain.ts'
import { referencePage } from '../experiment/reference-page.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { Register } from './command.ts'
import { exitCodes } from './terminal.ts'

export const explain: Register = (command, { terminal, run }) => {
  command
    .argument('[field]', 'a JSON pointer into an experiment, or a part of a name')
    .option('--markdown', 'print the reference of all fields, as Markdown')
    .addHelpText(
      'after',
      '\nExamples:\n  latentgraph explain /diffusion/schedule/kind\n  latentgraph explain guidance\n  latentgraph explain min-snr',
    )
    .action((field: string | undefined, { markdown }: { readonly markdown?: true }) =>
      run(
        pipe(
          markdown ? E.right(referencePage()) : explainExperiment(field),
          E.map((text) => {
            terminal.out(text)
            return exitCodes.done
          }),
          TE.fromEither,
        ),
      ),
    )
}
