import {
  broadcast,
  concat,
  constant,
  input,
  less,
  noise,
  part,
  perItem,
  scalar,
  select,
  type Tensor,
} from '../declare/index.ts'
import { ints } from '../execute/executor.ts'
import { float, int, type Shape } from '../graph/types.ts'
import { width } from '../nn/bounds.ts'
import { pipe } from '../prelude.ts'
import {
  about,
  type Decoded,
  describedRecord,
  flag,
  integer,
  list,
  nonEmpty,
  nullable,
  withDefault,
} from '../schema.ts'
import { framed } from '../text/prompt.ts'
import { type Conditioner, conditioningLeaves, dropped, type Space, type Told, unconditional } from './conditioner.ts'
import { type Problems, problem, setting, unless } from './problems.ts'
import { plainSizes, pooledWidth, sinusoids, textEncoded, textEncoder, textEncoderFields } from './text-encoders.ts'

/** Texts as a condition, through the text encoders of a published model, which stay as they are. */

const id = integer({ min: 0, max: 2 ** 24 })
const encoderPart = describedRecord(
  {
    encoder: about('The encoder, whose weights are held.', textEncoder),
    tokens: about(
      'What of its tokenizer the network depends on.',
      describedRecord({
        size: about('How many ids there are.', id, 49408),
        positions: about('Tokens of a text, start and end among them.', integer({ min: 3, max: 4096 }), 77),
        start: about('The id before a text; null for none.', nullable(id), 49406),
        end: about('The id behind a text.', id, 49407),
        pad: about('The id that fills a text up.', id, 49407),
      }),
    ),
  },
  textEncoderFields,
)
export const frozenTextFields = describedRecord(
  {},
  {
    encoders: about(
      'The text encoders; their states stand beside each other, as many channels as all have together. Those that are found in `from` where left out.',
      withDefault(list(encoderPart, { max: 4 }), []),
    ),
    dropout: dropped(0.1),
    sizes: about(
      "Whether the vector that is added to the time tells of the picture's sizes too, as in Stable Diffusion XL; null for not.",
      withDefault(
        nullable(describedRecord({ dim: about('Channels that each number is embedded in.', width, 256) })),
        null,
      ),
    ),
    zerosForNothing: about(
      'Whether no text is zeros, and not an empty text [force_zeros_for_empty_prompt].',
      withDefault(flag, false),
    ),
  },
  {
    from: about(
      "Where the encoders lie: a published model, imported or as it is, or the folder of a text encoder; relative to the experiment's file. They are those of the model that an adapter is of where left out.",
      nonEmpty,
      '../stable-diffusion-v1-5',
    ),
    tokenizer: about(
      "The folder of the tokenizer of an encoder that has none beside it, or of a checkpoint; relative to the experiment's file.",
      nonEmpty,
      '../bert-base-uncased',
    ),
    positions: about(
      'Tokens of a text, where fewer are read than the encoder can read; 77 of T5 where left out.',
      integer({ min: 3, max: 4096 }),
      77,
    ),
    skip: about(
      'Of encoders that are looked for in `from`: how many of the last layers are left out; as many as the model leaves out where left out.',
      integer({ min: 0, max: 127 }),
      1,
    ),
    normalized: about(
      'Of encoders that are looked for in `from`: whether the last norm follows; as the model has it where left out.',
      flag,
      true,
    ),
  },
)
export type FrozenText = Decoded<typeof frozenTextFields>
type Part = FrozenText['encoders'][number]

/** Scope of the k-th encoder's parameters. */
export const encoderScope = (k: number): string => `text.${k}`

/** Ids of no text, of one encoder after the other. */
const emptyIds = ({ encoders }: FrozenText): readonly number[] =>
  encoders.flatMap(({ tokens }) => framed(tokens, [], tokens.positions))

/** Where the ids of each encoder stand in a row of all. */
const placesOf = (encoders: readonly Part[]): readonly number[] =>
  encoders.map((_, k) => encoders.slice(0, k).reduce((n, { tokens }) => n + tokens.positions, 0))

const joined = (parts: readonly Tensor[], axis: number): Tensor | undefined =>
  parts.length > 1 ? concat(axis, ...parts) : parts[0]

const zerosOf = (...shape: Shape): Tensor => pipe(scalar(0), broadcast(...shape))

/** Ids [N, positions of all encoders] to what a network is told of them. */
const encoderOf = (c: FrozenText, [, height = 0, across = 0]: Space['picture']): ((ids: Tensor) => Told) => {
  const { encoders, sizes } = c
  const encode = encoders.map((own, k) => textEncoded(encoderScope(k), own))
  const places = placesOf(encoders)
  const embedded = sizes === null ? [] : plainSizes(height, across).flatMap((size) => sinusoids(size, sizes.dim))
  return (ids) => {
    const [n = 1] = ids.shape
    const texts = encode.map((of, k) => of(part(ids, 1, places[k] ?? 0, encoders[k]?.tokens.positions ?? 0)))
    const context = joined(
      texts.map(({ states }) => states),
      2,
    )
    const known = pipe(constant(embedded, float(1, embedded.length)), broadcast(n, embedded.length))
    const [pooled] = texts.flatMap((text) => text.pooled ?? [])
    return {
      ...(context === undefined ? {} : { context }),
      ...(sizes === null || pooled === undefined ? {} : { y: concat(1, pooled, known) }),
    }
  }
}

/** Whether encoders are those of an experiment's own, and not of what an adapter is of. */
export const isOwn = ({ from }: FrozenText): boolean => from !== undefined

const rulesOf = ({ from, encoders, sizes }: FrozenText): Problems => {
  const at = '/diffusion/conditioning'
  return [
    ...unless(
      encoders.length > 0,
      `${at}/from`,
      'a published model or a text encoder, whose encoders are held',
      from === undefined ? 'nothing' : `${from}, which nothing was read of`,
    ),
    ...encoders.flatMap(({ encoder, skip, normalized }, k) => {
      const most = encoder.kind === 'clip' ? encoder.config.layers - 1 : 0
      return [
        ...unless(skip <= most, `${at}/encoders/${k}/skip`, `at most ${most}`, skip),
        ...unless(normalized || encoder.kind === 'clip', `${at}/encoders/${k}/normalized`, 'true', normalized),
      ]
    }),
    ...(sizes === null || encoders.length === 0 || encoders.some(({ pooled }) => pooled)
      ? []
      : [
          problem(
            `${at}/sizes`,
            'null, as no encoder says anything of a text as a whole',
            sizes,
            setting({ [`${at}/sizes`]: null }),
          ),
        ]),
  ]
}

/** Texts are encoded once each, before training and before a walk; steps are told what comes of it. */
export const frozenText = (c: FrozenText, { picture }: Space): Conditioner => {
  const { encoders, dropout, sizes, zerosForNothing } = c
  const empty = emptyIds(c)
  const context = encoders.reduce((n, { encoder }) => n + encoder.config.width, 0)
  const [pooled] = encoders.filter((own) => own.pooled)
  const vector = sizes === null || pooled === undefined ? 0 : pooledWidth(pooled) + 6 * 2 * Math.floor(sizes.dim / 2)
  const length = encoders[0]?.tokens.positions ?? 0
  const leaves = (name: 'context' | 'awayContext', other: 'vector' | 'awayVector', n: number): Told => ({
    context: input(conditioningLeaves[name], float(n, length, context)),
    ...(vector === 0 ? {} : { y: input(conditioningLeaves[other], float(n, vector)) }),
  })
  const given = (batch: number): Told => leaves('context', 'vector', batch)
  const each = (batch: number, { context: states, y }: Told): Told => ({
    ...(states === undefined ? {} : { context: pipe(states, broadcast(batch, length, context)) }),
    ...(y === undefined ? {} : { y: pipe(y, broadcast(batch, vector)) }),
  })
  const away = (batch: number): Told => each(batch, leaves('awayContext', 'awayVector', 1))
  const zeros = (batch: number): Told => ({
    context: zerosOf(batch, length, context),
    ...(vector === 0 ? {} : { y: zerosOf(batch, vector) }),
  })
  const nothing = zerosForNothing ? zeros : away
  const trained = (batch: number): Told => {
    const told = given(batch)
    if (dropout === 0) return told
    const without = nothing(batch)
    const left = pipe(noise('caption_dropout', [batch], 'uniform'), less(dropout))
    const instead = (x: Tensor | undefined, y: Tensor | undefined): Tensor | undefined =>
      x === undefined || y === undefined ? x : pipe(left, perItem(x), select(y, x))
    const [states, whole] = [instead(told.context, without.context), instead(told.y, without.y)]
    return {
      ...(states === undefined ? {} : { context: states }),
      ...(whole === undefined ? {} : { y: whole }),
    }
  }
  const ahead = (batch: number): Readonly<Record<string, Tensor>> => {
    const encode = encoderOf(c, picture)
    const named = ({ context: states, y }: Told, name: string, other: string): Readonly<Record<string, Tensor>> => ({
      ...(states === undefined ? {} : { [name]: states }),
      ...(y === undefined ? {} : { [other]: y }),
    })
    const { context: states, vector: whole, awayContext, awayVector } = conditioningLeaves
    return {
      ...named(encode(input(conditioningLeaves.tokens, int(batch, empty.length))), states, whole),
      ...named(encode(input(conditioningLeaves.awayTokens, int(1, empty.length))), awayContext, awayVector),
    }
  }
  return {
    ...unconditional,
    text: { vocabulary: null, positions: empty.length },
    context,
    ...(vector === 0 ? {} : { vector }),
    given,
    trained,
    learntAhead: ahead,
    // A published model has learnt to do without texts before.
    ...(isOwn(c) && (dropout === 0 || dropout === 1) ? {} : { nothing }),
    away,
    ahead,
    feeds: ({ labels: { length: n }, tokens, negative }) => ({
      [conditioningLeaves.tokens]: ints(
        [n, empty.length],
        tokens ?? Int32Array.from({ length: n * empty.length }, (_, i) => empty[i % empty.length] ?? 0),
      ),
      [conditioningLeaves.awayTokens]: ints(
        [1, empty.length],
        negative !== undefined && 'tokens' in negative ? negative.tokens : Int32Array.from(empty),
      ),
    }),
    rules: rulesOf(c),
  }
}
