import { join } from 'node:path'
import { readAdapter } from '../../../adapters/index.ts'
import { type Effect, effect, fail } from '../../../error.ts'
import { adaptableNetworks } from '../../../pipelines/adaptable.ts'
import type { Applied } from '../../../pipelines/applied.ts'
import { withWord } from '../../../pipelines/inversions.ts'
import type { Pipeline } from '../../../pipelines/request.ts'
import { TE } from '../../../prelude.ts'
import { readTextualInversion } from '../../../text/textual-inversion.ts'
import { heeded, isJson, type Json, listIn, numberIn, type PipelineCase, type Run, textIn } from './case.ts'

/** What a run adds to its model: adapters, and words. */

const entries = (given: Run, key: string): readonly Json[] => listIn(given, key, isJson) ?? []
const pathOf = (c: PipelineCase, given: Run, entry: Json): Effect<string> => {
  const path = textIn(entry, 'path')
  return path === undefined
    ? TE.fromEither(fail('data', `${c.file.file}: ${given.name}`, 'the path of a file', 'none'))
    : TE.right(join(c.folder, path))
}

const textEncoders = ['text_encoder', 'text_encoder_2']

/** A run's model. Errors: `file`, `data`. */
export const equipped = (read: Pipeline, c: PipelineCase, given: Run): Effect<Pipeline> =>
  effect(async (run) => {
    const at = `${c.file.file}: ${given.name}`
    const networks = await run(TE.fromEither(adaptableNetworks(read.document)))
    const adapters: Applied[] = []
    for (const entry of entries(given, 'lora')) {
      await run(TE.fromEither(heeded(`${at}: lora`, entry, ['path', 'scale'])))
      const adapter = await run(readAdapter(await run(pathOf(c, given, entry)), networks))
      adapters.push({ adapter, weight: numberIn(entry, 'scale', 1), merge: given.fuse === true })
    }
    let pipeline: Pipeline = { ...read, adapters }
    for (const entry of entries(given, 'textual_inversion')) {
      await run(TE.fromEither(heeded(`${at}: textual_inversion`, entry, ['path', 'token', 'key', 'encoder'])))
      const inversion = await run(readTextualInversion(await run(pathOf(c, given, entry)), textIn(entry, 'token')))
      const encoder = textEncoders.indexOf(textIn(entry, 'encoder') ?? '')
      pipeline = await run(withWord(pipeline, inversion, encoder < 0 ? undefined : [encoder]))
    }
    return pipeline
  })
