import { adapterLeaf, adapting, type Changes } from '../adapters/low-rank.ts'
import { apply, isTensor, type Tensor, topological } from '../declare/index.ts'
import type { Loss } from '../losses/index.ts'
import type { Buffers } from '../nn/stateful.ts'
import { pipe, RR } from '../prelude.ts'
import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  didYouMean,
  integer,
  list,
  nonEmpty,
  number,
  withDefault,
} from '../schema.ts'
import { substitution } from '../transform/index.ts'
import type { Conditioner, Space } from './conditioner.ts'
import type { Conditioning } from './conditioning.ts'
import { controlFields, controlPrefix, hintCondition } from './control.ts'
import { held } from './held-model.ts'
import { hybrid } from './hybrid.ts'
import { inversionFields, inversionPrefix, withNewWord } from './new-word.ts'
import { type Problems, problem } from './problems.ts'

/** What is trained of a U-Net that stays as it is. */

const lora = describedRecord(
  {
    rank: about(
      'How many directions each change of a weight has: more hold more, in a file that grows with it, and overfit few pictures sooner.',
      integer({ min: 1, max: 4096 }),
      4,
    ),
  },
  {
    on: about(
      'Words of the names of weights that are adapted: attn2 are the attentions to the text, attn1 those of positions to each other, attn1.to_q the queries alone.',
      withDefault(list(nonEmpty, { min: 1, max: 64 }), ['attn1', 'attn2']),
    ),
  },
  {
    alpha: about(
      'What the change counts is alpha / rank; as much as it is where left out.',
      number({ min: 1e-6, max: 1e6 }),
      4,
    ),
    of: held,
  },
)
export const adapter = describedTagged('kind', {
  lora: about('Terms of low rank beside weights (Hu et al. 2021): the usual way to teach a large model a style.', lora),
  'textual-inversion': about(
    "A word of its own, with embeddings for the model's text encoders, and nothing else that is trained (Gal et al. 2022).",
    inversionFields,
  ),
  controlnet: about(
    "A copy of the U-Net's way down that sees a picture for each, which drawn pictures then follow (Zhang et al. 2023).",
    controlFields,
  ),
})
export type AdapterConfig = Decoded<typeof adapter>
type Of<K extends AdapterConfig['kind']> = Extract<AdapterConfig, { readonly kind: K }>

/** What the leaves' names of a LoRA begin with. */
export const adapterName = 'lora'
/** What the names of all that is trained begin with. */
const prefixes: { readonly [K in AdapterConfig['kind']]: string } = {
  lora: `${adapterName}/`,
  'textual-inversion': inversionPrefix,
  controlnet: controlPrefix,
}
export const isAdapters = (leaf: string): boolean => Object.values(prefixes).some((prefix) => leaf.startsWith(prefix))

const touches =
  (parameter: string) =>
  (words: string): boolean =>
    `.${parameter.replace(/\.weight$/, '')}.`.includes(`.${words}.`)

/** The products of a network's weights, told apart from those of what it is given. */
const weightsOf = (said: Tensor, given: readonly Tensor[]): readonly string[] => {
  const others = new Set(topological(given))
  return topological([said]).flatMap((x) =>
    isTensor('parameter')(x) && x.shape.length >= 2 && !others.has(x) ? [x.attributes.name] : [],
  )
}

/** What a network says with an adapter that is trained; `given` is what it is told. */
export const withAdapter = (config: AdapterConfig | undefined, said: Tensor, given: readonly Tensor[]): Tensor => {
  if (config?.kind !== 'lora') return said
  const { rank, alpha = rank, on } = config
  const changes: Changes = Object.fromEntries(
    weightsOf(said, given).flatMap((name) => (on.some(touches(name)) ? [[name, { rank, factor: alpha / rank }]] : [])),
  )
  return adapting([{ name: adapterName, changes }], [said], { trainable: true })(said)
}

/** The loss with all parameters but the adapter's as they are: none of them has a gradient. */
export const trainingAdapter = (loss: Loss & { readonly buffers?: Buffers }): Loss & { readonly buffers?: Buffers } => {
  const buffers: Readonly<Record<string, Tensor>> = loss.buffers ?? {}
  const roots = [loss.loss, ...Object.values<Tensor>(loss.log), ...Object.values(buffers)]
  const held = topological(roots).flatMap((x) =>
    isTensor('parameter')(x) && x.attributes.trainable && !isAdapters(x.attributes.name)
      ? [[x.attributes.name, apply('parameter', { ...x.attributes, trainable: false }, [], x.scope)] as const]
      : [],
  )
  const now = substitution(Object.fromEntries(held), roots)
  return {
    loss: now(loss.loss),
    log: pipe(loss.log, RR.map(now)),
    ...(loss.buffers === undefined ? {} : { buffers: pipe(buffers, RR.map(now)) }),
  }
}

/** The weights that an adapter is on, out of the leaves of a step. */
export const adaptedIn = (leaves: readonly string[]): readonly string[] =>
  leaves.filter((name) => leaves.includes(adapterLeaf(adapterName, name, 'down')))

type Rules<K extends AdapterConfig['kind']> = (config: Of<K>, leaves: readonly string[]) => Problems
const rules: { readonly [K in AdapterConfig['kind']]: Rules<K> } = {
  /** Words that no weight's name has. */
  lora: ({ on }, leaves) => {
    const adapted = adaptedIn(leaves)
    const known = [...new Set(leaves.filter((name) => !isAdapters(name)).flatMap((name) => name.split('.')))].filter(
      (word) => !/^\d+$|^(weight|bias|scale_factor)$/.test(word),
    )
    return on.flatMap((words, i) =>
      adapted.some((name) => touches(name)(words))
        ? []
        : problem(
            `/diffusion/adapter/on/${i}`,
            "words of the names of the U-Net's weights",
            JSON.stringify(words),
            didYouMean(words, known) ?? `there are ${known.slice(0, 24).join(', ')}`,
          ),
    )
  },
  'textual-inversion': () => [],
  controlnet: () => [],
}
const rulesOf = <K extends AdapterConfig['kind']>(kind: K, config: Of<K>, leaves: readonly string[]): Problems =>
  rules[kind](config, leaves)

/** What of an adapter does not fit the network, whose leaves in a step these are. */
export const adapterRules = (config: AdapterConfig | undefined, leaves: readonly string[]): Problems =>
  config === undefined ? [] : rulesOf(config.kind, config, leaves)

/** A condition as an adapter changes it. */
export const conditionerWith = (
  config: AdapterConfig | undefined,
  conditioning: Conditioning,
  conditioner: Conditioner,
  space: Space,
): Conditioner =>
  config?.kind === 'controlnet'
    ? hybrid(conditioner, hintCondition(config, space))
    : config?.kind === 'textual-inversion' && conditioning.kind === 'frozen-text'
      ? withNewWord(config, conditioning)(conditioner)
      : conditioner
