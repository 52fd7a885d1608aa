import type { Tensor } from '../declare/index.ts'
import { type Conditioner, type Told, unconditional } from './conditioner.ts'
import type { Problems } from './problems.ts'

/** Two conditions at once: what the network is told, and a picture beside x_t (`hybrid` of ldm/models/diffusion/ddpm.py). */

/** Rules of a part, at its place in the document. */
const within =
  (part: 'told' | 'beside') =>
  (rules: Problems): Problems => {
    const [from, to] = ['/diffusion/conditioning/', `/diffusion/conditioning/${part}/`]
    return rules.map((e) => ({
      ...e,
      at: e.at.replace(from, to),
      ...(e.hint === undefined ? {} : { hint: e.hint.replaceAll(from, to) }),
    }))
  }

/** No condition is none of what is told: the picture stays, as what it is for is to be kept. */
export const hybrid = (told: Conditioner, beside: Conditioner): Conditioner => {
  const walked = ({ walked: own, given }: Conditioner): ((batch: number) => Told) => own ?? given
  const without = (away: ((batch: number) => Told) | undefined) =>
    away && ((batch: number): Told => ({ ...walked(beside)(batch), ...away(batch) }))
  const [nothing, away] = [without(told.nothing), without(told.away)]
  const aheads = [told.ahead, beside.ahead].filter((own) => own !== undefined)
  const ahead = (batch: number): Readonly<Record<string, Tensor>> =>
    Object.assign({}, ...aheads.map((own) => own(batch)))
  return {
    ...unconditional,
    classes: told.classes,
    context: told.context,
    channels: beside.channels,
    given: (batch: number, scale?: Tensor) => ({ ...told.given(batch, scale), ...beside.given(batch, scale) }),
    trained: (batch: number, scale?: Tensor) => ({ ...told.trained(batch, scale), ...beside.trained(batch, scale) }),
    walked: (batch) => ({ ...walked(told)(batch), ...walked(beside)(batch) }),
    ...(aheads.length === 0 ? {} : { ahead }),
    ...(told.learntAhead === undefined ? {} : { learntAhead: told.learntAhead }),
    ...(nothing === undefined ? {} : { nothing }),
    ...(away === undefined ? {} : { away }),
    feeds: (asked) => ({ ...told.feeds(asked), ...beside.feeds(asked) }),
    ...(beside.pictures === undefined ? {} : { pictures: beside.pictures }),
    ...(told.text === undefined ? {} : { text: told.text }),
    ...(told.vector === undefined ? {} : { vector: told.vector }),
    ...(told.known === undefined ? {} : { known: told.known }),
    rules: [...within('told')(told.rules), ...within('beside')(beside.rules)],
  }
}
