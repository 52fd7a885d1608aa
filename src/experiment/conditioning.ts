import { input, integers, less, noise, select, type Tensor } from '../declare/index.ts'
import { ints } from '../execute/executor.ts'
import { int } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { about, type Decoded, describedRecord, describedTagged, integer, withDefault, word } from '../schema.ts'
import { type Conditioner, conditioningLeaves, dropped, type Space, type Told, unconditional } from './conditioner.ts'
import { type FrozenText, frozenText, frozenTextFields, isOwn } from './frozen-text.ts'
import { hybrid } from './hybrid.ts'
import { boxesConditioner, boxesFields, vectorConditioner, vectorFields } from './known-conditions.ts'
import { labelMap } from './label-map.ts'
import { labelMapFields } from './label-maps.ts'
import { inpainting, inpaintingLayouts, superResolution } from './picture-conditions.ts'
import { textConditioner, textFields } from './text-condition.ts'

export * from './conditioner.ts'

/** What a diffusion model is told beside x_t and t: each kind of condition is a row, and no other file knows one by name. */

const toldCodecs = {
  class: about(
    "The data's classes, one of which is asked for when sampling.",
    describedRecord({}, { dropout: dropped(0.1) }),
  ),
  text: about(
    'What captions say, through a text transformer that is trained with the U-Net, to its cross-attention (Rombach et al. 2022, section 3.3).',
    textFields,
  ),
  vector: about('Numbers that are known of a picture, added to the time [adm].', vectorFields),
  boxes: about(
    'Things in their boxes, as tokens through a transformer that is trained with the U-Net, to its cross-attention (Rombach et al. 2022, section 4.3.1).',
    boxesFields,
  ),
  'frozen-text': about(
    'What captions say, through the text encoders of a published model, which are held.',
    frozenTextFields,
  ),
} as const
const besideCodecs = {
  'super-resolution': about(
    'A smaller picture, as channels beside x_t: the model learns to enlarge it (Saharia et al. 2021; Rombach et al. 2022, section 4.4).',
    describedRecord(
      {},
      {
        factor: about(
          'How many times fewer pixels a side the small picture has.',
          withDefault(integer({ min: 2, max: 64 }), 4),
        ),
      },
    ),
  ),
  inpainting: about(
    'The picture without what a mask covers, and the mask, as channels beside x_t; masks are drawn by chance in training.',
    describedRecord(
      {},
      {
        layout: about(
          'What lies beside x_t: "stable-diffusion", the mask, then the picture, the nine channels of its inpainting model; "latent-diffusion", the picture, then the mask.',
          withDefault(word(inpaintingLayouts), 'stable-diffusion'),
        ),
      },
    ),
  ),
  'label-map': about(
    'The label of each pixel, one channel a label beside x_t (Rombach et al. 2022, appendix D.1).',
    labelMapFields,
  ),
} as const

const codecs = {
  none: about('Nothing: pictures come as they come.', describedRecord({})),
  ...toldCodecs,
  ...besideCodecs,
  hybrid: about(
    'A class, text, vector or boxes, and a picture beside x_t.',
    describedRecord({
      told: about('What is told in numbers or words.', describedTagged('kind', toldCodecs)),
      beside: about('What lies beside x_t.', describedTagged('kind', besideCodecs)),
    }),
  ),
} as const

export const conditioning = describedTagged('kind', codecs)
export type Conditioning = Decoded<typeof conditioning>
type Kind = Conditioning['kind']
type Of<K extends Kind> = Extract<Conditioning, { readonly kind: K }>

const classConditioner = ({ dropout }: Of<'class'>, { classes }: Space): Conditioner => {
  const labels = (batch: number): Tensor => input(conditioningLeaves.labels, int(batch))
  const nothing = (batch: number): Told => ({ y: integers(Array.from({ length: batch }, () => classes)) })
  const dropped = (y: Tensor): Tensor =>
    dropout === 0 ? y : pipe(noise('label_dropout', y.shape, 'uniform'), less(dropout), select(integers([classes]), y))
  return {
    ...unconditional,
    classes: classes + 1,
    given: (batch) => ({ y: labels(batch) }),
    trained: (batch) => ({ y: dropped(labels(batch)) }),
    away: (batch) => ({ y: input(conditioningLeaves.negativeLabels, int(batch)) }),
    ...(dropout > 0 && dropout < 1 ? { nothing } : {}),
    feeds: ({ labels: asked, negative }) => ({
      [conditioningLeaves.labels]: ints([asked.length], Int32Array.from(asked)),
      ...(negative !== undefined && 'label' in negative
        ? {
            [conditioningLeaves.negativeLabels]: ints(
              [asked.length],
              new Int32Array(asked.length).fill(negative.label),
            ),
          }
        : {}),
    }),
  }
}

const makers: { readonly [K in Kind]: (c: Of<K>, space: Space) => Conditioner } = {
  none: () => unconditional,
  class: classConditioner,
  text: textConditioner,
  vector: vectorConditioner,
  boxes: boxesConditioner,
  'frozen-text': frozenText,
  'super-resolution': superResolution,
  inpainting,
  'label-map': labelMap,
  hybrid: ({ told, beside }, space) => hybrid(conditionerOf(told, space), conditionerOf(beside, space)),
}
const make = <K extends Kind>(kind: K, c: Of<K>, space: Space): Conditioner => makers[kind](c, space)

/** The condition that is declared. */
export const conditionerOf = (c: Conditioning, space: Space): Conditioner => make(c.kind, c, space)

/** The conditions that one consists of. */
export const partsOf = (c: Conditioning): readonly Conditioning[] => (c.kind === 'hybrid' ? [c.told, c.beside] : [c])
/** Text encoders that an experiment holds itself; undefined where there are none, or those of what an adapter is of. */
export const ownTextsOf = (c: Conditioning | undefined): FrozenText | undefined =>
  c && partsOf(c).find((part): part is Of<'frozen-text'> => part.kind === 'frozen-text' && isOwn(part))
/** Whether a network is told classes, or texts. */
export const tells = (kind: Kind, c: Conditioning | undefined): boolean =>
  c !== undefined && partsOf(c).some((part) => part.kind === kind)
/** Whether a network is told captions, by an encoder of its own or by one that is held. */
export const readsTexts = (c: Conditioning | undefined): boolean => tells('text', c) || tells('frozen-text', c)
