import { experimentSchemaText } from '../experiment/json-schema.ts'
import { TE } from '../prelude.ts'
import type { Register } from './command.ts'
import { exitCodes } from './terminal.ts'

export const schema: Register = (command, { terminal, run }) => {
  command.addHelpText('after', '\nExample:\n  latentgraph schema > experiment.schema.json').action(() =>
    run(
      TE.fromIO(() => {
        terminal.out(experimentSchemaText())
        return exitCodes.done
      }),
    ),
  )
}
