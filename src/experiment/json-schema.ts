import type { JsonSchema } from '../schema.ts'
import { experiment } from './document.ts'

/** The JSON Schema (draft 2020-12) of an experiment's file, for editors. Rules between fields are not in it. */
export const experimentSchema: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'latentgraph experiment',
  ...experiment.json,
}

/** The schema as the text of a file. */
export const experimentSchemaText = `${JSON.stringify(experimentSchema, null, 2)}\n`
