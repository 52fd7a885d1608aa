import type { JsonSchema } from '../schema.ts'
import { experiment } from './document.ts'
import { tuning } from './tuning.ts'

/**
 * The JSON Schema (draft 2020-12) of an experiment's file, for editors: of a whole experiment, or of what is trained beside a model that is
 * there. Rules between fields are not in it.
 */
export const experimentSchema: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'latentgraph experiment',
  anyOf: [experiment.json, tuning.json],
}

/** The schema as the text of a file. */
export const experimentSchemaText = `${JSON.stringify(experimentSchema, null, 2)}\n`
