import { boxesFrom, boxItemClasses, boxTokensOf, tokensOfBoxes } from '../data/boxes.ts'
import {
  broadcast,
  constant,
  input,
  less,
  noise,
  perItem,
  scalar,
  select,
  type Tensor,
  unsqueeze,
} from '../declare/index.ts'
import { type Checked, fail } from '../error.ts'
import { floats, ints } from '../execute/executor.ts'
import { float, int } from '../graph/types.ts'
import { width } from '../nn/bounds.ts'
import { transformerEmbedder } from '../nn/text/bert.ts'
import { E, pipe } from '../prelude.ts'
import { about, type Decoded, describedRecord, integer, withDefault } from '../schema.ts'
import { type Conditioner, conditioningLeaves, dropped, type Told, unconditional } from './conditioner.ts'
import { setting, unless } from './problems.ts'

/** What is known of pictures beside their pixels as a condition: numbers, and things in their boxes. */

export const vectorFields = describedRecord(
  {
    width: about(
      'How many numbers each picture has, in "vector" of metadata.jsonl; scale them to about 1 yourself.',
      width,
      4,
    ),
  },
  { dropout: dropped(0.1) },
)

const ofBatch = (name: string, rate: number, batch: number): Tensor => pipe(noise(name, [batch], 'uniform'), less(rate))

export const vectorConditioner = ({ width: count, dropout: rate }: Decoded<typeof vectorFields>): Conditioner => {
  const leaf = (batch: number): Tensor => input(conditioningLeaves.vector, float(batch, count))
  const zeros = (batch: number): Tensor => pipe(scalar(0), broadcast(batch, count))
  const dropped = (y: Tensor, batch: number): Tensor =>
    rate === 0 ? y : pipe(ofBatch('vector_dropout', rate, batch), perItem(y), select(zeros(batch), y))
  return {
    ...unconditional,
    vector: count,
    given: (batch) => ({ y: leaf(batch) }),
    trained: (batch) => ({ y: dropped(leaf(batch), batch) }),
    ...(rate > 0 && rate < 1 ? { nothing: (batch: number): Told => ({ y: zeros(batch) }) } : {}),
    feeds: ({ labels: { length: n }, known = new Float32Array(n * count) }) => ({
      [conditioningLeaves.vector]: floats([n, count], known),
    }),
    known: {
      asks: 'vector',
      width: count,
      of: ({ vector }, at) =>
        vector?.length === count
          ? E.right(vector)
          : fail('data', at, `"vector": ${count} numbers`, vector === undefined ? 'none' : `${vector.length}`),
    },
  }
}

export const boxesFields = describedRecord(
  {
    classes: about('What things there are: their names, or how many.', boxItemClasses, ['cat', 'dog']),
  },
  {
    dropout: dropped(0.1),
    objects: about('Boxes of a picture at most; more are an error.', withDefault(integer({ min: 1, max: 1024 }), 8)),
    vocabulary: about(
      'Tokens of classes, of none, and of points: of a grid of as many places a side as its root says, so that more place boxes more finely.',
      withDefault(integer({ min: 4, max: 65536 }), 1024),
    ),
    width: about("Channels of the transformer's states, and so of the U-Net's contextDim.", withDefault(width, 128)),
    layers: about('Transformer blocks in a row.', withDefault(integer({ min: 1, max: 64 }), 2)),
  },
)
export type BoxesFields = Decoded<typeof boxesFields>

/** The transformer of boxes, as published models have it. */
export const boxEncoder = ({ objects, vocabulary, width: states, layers }: BoxesFields) => ({
  width: states,
  layers,
  vocabulary,
  positions: 3 * objects,
})
const scope = 'cond_stage_model'

export const boxesConditioner = (c: BoxesFields): Conditioner => {
  const { classes, dropout: rate, objects, vocabulary } = c
  const encoder = boxEncoder(c)
  const { positions } = encoder
  const count = typeof classes === 'number' ? classes : classes.length
  const encode = transformerEmbedder(scope, encoder)
  const leaf = (batch: number): Tensor => input(conditioningLeaves.boxes, int(batch, positions))
  const none = (batch: number): Tensor =>
    constant(
      Array.from({ length: batch * positions }, () => vocabulary - 1),
      int(batch, positions),
    )
  const dropped = (ids: Tensor, batch: number): Tensor =>
    rate === 0 ? ids : pipe(ofBatch('boxes_dropout', rate, batch), unsqueeze(1), select(none(batch), ids))
  const at = '/diffusion/conditioning'
  const layout = boxTokensOf(positions, vocabulary) ?? { objects, vocabulary, frame: false }
  return {
    ...unconditional,
    context: c.width,
    given: (batch) => ({ context: encode(leaf(batch)) }),
    trained: (batch) => ({ context: encode(dropped(leaf(batch), batch)) }),
    ...(rate > 0 && rate < 1 ? { nothing: (batch: number): Told => ({ context: encode(none(batch)) }) } : {}),
    feeds: ({ labels: { length: n }, known = new Float32Array(n * positions).fill(vocabulary - 1) }) => ({
      [conditioningLeaves.boxes]: ints([n, positions], Int32Array.from(known)),
    }),
    known: {
      asks: 'boxes',
      width: positions,
      classes,
      of: ({ boxes }, place): Checked<readonly number[]> =>
        boxes === undefined
          ? fail('data', place, '"boxes"', 'none')
          : pipe(
              boxesFrom(boxes, classes, place),
              E.flatMap((all) => tokensOfBoxes(layout, all, place)),
            ),
    },
    rules: unless(
      count < vocabulary,
      `${at}/vocabulary`,
      `more than ${count}, as many classes as there are`,
      vocabulary,
      setting({ [`${at}/vocabulary`]: Math.max(1024, 2 * count) }),
    ),
  }
}
