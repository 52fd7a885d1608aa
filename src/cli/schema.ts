import { experimentSchemaText } from '../experiment/json-schema.ts'
import { TE } from '../prelude.ts'
import type { Register } from './command.ts'
import { exitCodes } from './terminal.ts'

export const schema: Register = (program, { terminal, run }) => {
  program
    .command('schema')
    .description('print the JSON Schema of experiments, for editors')
    .addHelpText('after', '\nExample:\n  latentgraph schema > experiment.schema.json')
    .action(() =>
      run(
        TE.fromIO(() => {
          terminal.out(experimentSchemaText())
          return exitCodes.done
        }),
      ),
    )
}
