import { type Checked, fail } from '../error.ts'
import { decodeExperiment } from '../experiment/decode.ts'
import { latentDiffusion } from '../experiment/diffusion-stage.ts'
import { diffusedOf } from '../experiment/space.ts'
import { ofByte } from '../io/pictures.ts'
import { parseSafetensors } from '../io/safetensors.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { DrawnRun } from '../run/drawn-run.ts'
import type { Reads } from '../run/reads.ts'
import { wordsReader } from '../text/learnt.ts'
import { loadedValues } from '../train/state.ts'
import type { Part, Site } from './static-files.ts'

/** The run of a page that draws by itself. Nothing here reads files: the page has read them. */

/** The run of a page, of the bytes of its weights. Errors: `config`, `file`, of files that are not this version's. */
export const drawnOf = (
  { experiment, classes, scale, words, ...site }: Site,
  weights: { readonly firstStage?: Uint8Array; readonly diffusion: Uint8Array },
): Checked<DrawnRun> => {
  const valuesOf = (bytes: Uint8Array | undefined, part: Part | undefined) =>
    bytes === undefined
      ? E.right({})
      : pipe(
          parseSafetensors(bytes, part?.file ?? 'weights'),
          E.map(({ tensors }) => loadedValues(tensors)),
        )
  return pipe(
    E.Do,
    E.bind('experiment', () => decodeExperiment(experiment)),
    E.bind('model', ({ experiment: e }) =>
      e.diffusion === undefined
        ? fail('config', '/diffusion', 'what draws', 'nothing')
        : latentDiffusion(e.diffusion, diffusedOf(e), classes.length),
    ),
    E.bind('tokens', ({ model: { conditioner } }) =>
      words === undefined || conditioner.text === undefined
        ? E.right(undefined)
        : wordsReader(words, conditioner.text.positions),
    ),
    E.bind('firstStage', () => valuesOf(weights.firstStage, site.firstStage)),
    E.bind('diffusion', () => valuesOf(weights.diffusion, site.diffusion)),
    E.map(({ tokens, ...rest }) => ({ ...rest, classes, scale, ...(tokens === undefined ? {} : { tokens }) })),
  )
}

const noFiles = (what: string) => TE.left([{ tag: 'usage', at: 'page', expected: 'no file', got: what }] as const)

/** A page has pictures at the model's size alone, and no files. */
export const inMemory: Reads = {
  picture: (source, size) =>
    typeof source === 'string'
      ? noFiles(source)
      : source.width !== size || source.height !== size
        ? TE.fromEither(fail('data', 'picture', `${size}x${size} pixels`, `${source.width}x${source.height}`))
        : TE.right({
            picture: {
              n: 1,
              shape: [3, size, size],
              data: Float32Array.from(source.data, (_, i) => {
                const [channel, at] = [Math.floor(i / (size * size)), i % (size * size)]
                return ofByte(source.data[3 * at + channel] ?? 0)
              }),
            },
            width: size,
            height: size,
          }),
  prompts: noFiles,
  boxes: noFiles,
  condition: (_, { hint: _hint, lowResolution: _low, labelMap: _map, ...rest }) => TE.right({ rest }),
}
