import { join } from 'node:path'
import { drawKey, fillNormal } from '../src/distributions/random.ts'
import { type Checked, showErrors } from '../src/error.ts'
import { type Graph, parameters } from '../src/graph/graph.ts'
import { size } from '../src/graph/types.ts'
import type { UnreadArrays } from '../src/io/stored.ts'
import { type PipelineDocument, pipelineDocument } from '../src/pipelines/document.ts'
import { graphsOf } from '../src/pipelines/networks.ts'
import type { Pipeline } from '../src/pipelines/request.ts'
import { writePublishedRun } from '../src/pipelines/run-files.ts'
import { E, TE } from '../src/prelude.ts'
import { decode } from '../src/schema.ts'
import { readTokenizer } from '../src/text/tokenizer-files.ts'

/** A published model of Stable Diffusion's kind, as small as can be, with weights by chance. */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}

const clip = { vocabulary: 886, width: 16, layers: 2, heads: 2, positions: 77, mlpWidth: null }
const document: PipelineDocument = right(
  decode(pipelineDocument)({
    model: 'small',
    firstStage: {
      kind: 'kl',
      scale: 0.2,
      network: {
        inChannels: 3,
        outChannels: 3,
        resolution: 64,
        channels: 32,
        resBlocks: 1,
        latentChannels: 4,
        zChannels: 4,
        channelMultipliers: [1, 1],
        attentionResolutions: [],
      },
    },
    unet: {
      inChannels: 4,
      outChannels: 4,
      modelChannels: 32,
      resBlocks: 1,
      channelMultipliers: [1, 1],
      attentionFactors: [1],
      heads: { by: 'count', count: 2 },
      attention: { kind: 'transformer', contextDim: 32 },
      vector: 16 + 6 * 8,
    },
    side: 8,
    predicts: 'v',
    conditioning: {
      text: [
        {
          encoder: { kind: 'clip', config: { ...clip, activation: 'quick_gelu', projection: null } },
          tokenizer: { from: 'folder', name: 'tokenizer' },
          skip: 1,
          normalized: false,
        },
        {
          encoder: { kind: 'clip', config: { ...clip, activation: 'gelu', projection: 16 } },
          tokenizer: { from: 'folder', name: 'tokenizer_2' },
          skip: 1,
          normalized: false,
          pooled: true,
        },
      ],
      sizes: { dim: 8 },
      zerosForNothing: true,
    },
    sampling: {
      by: 'diffusers',
      scheduler: 'DDIMScheduler',
      config: { beta_schedule: 'scaled_linear', beta_start: 0.00085, beta_end: 0.012, prediction_type: 'v_prediction' },
    },
    guidance: 3,
    steps: 4,
  }),
)

const folder = join(import.meta.dirname, 'golden/text/mini-clip')

/** No weight is 0, so that everything has a gradient. */
const arraysOf = (component: string, graph: Graph): UnreadArrays =>
  Object.fromEntries(
    parameters(graph).map(({ name, shape }) => {
      const data = new Float32Array(size(shape))
      fillNormal(drawKey(0, { step: 0, name: `${component}/${name}`, sample: 0 }), data)
      const norm = shape.length === 1 && name.endsWith('weight')
      const spread = 0.5 / Math.sqrt(size(shape.slice(1)))
      const filled = data.map((x) => (norm ? 1 + 0.1 * x : spread * x))
      return [
        name,
        { dtype: 'F32', shape, bytes: filled.byteLength, read: TE.right({ dtype: 'float32', shape, data: filled }) },
      ]
    }),
  )

export const smallModel = async (): Promise<Pipeline> => ({
  document,
  weights: Object.fromEntries(
    Object.entries(right(graphsOf(document))).map(([name, graph]) => [name, arraysOf(name, graph)]),
  ),
  tokenizers: [right(await readTokenizer(folder)()), right(await readTokenizer(folder)())],
})

/** Writes it as an import does. */
export const writeSmallModel = async (dir: string): Promise<void> => {
  right(
    await writePublishedRun(dir, {
      ...(await smallModel()),
      folders: { tokenizer: folder, tokenizer_2: folder },
      leftOver: [],
      remarks: [],
    })(),
  )
}
