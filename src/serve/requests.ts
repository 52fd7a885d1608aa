import { type Checked, collect, fail, type LatentError } from '../error.ts'
import { isPng } from '../io/png.ts'
import { E, O, pipe } from '../prelude.ts'
import { type Codec, decode, integer, number, record, shortText, tagged, word } from '../schema.ts'
import type { About, Settings, Start } from './api.ts'
import { limits } from './limits.ts'

/** What is asked for, read from JSON: every field is bounded, by the server's limits and by what the model is. */

/** Brackets within brackets of a text that is to be JSON. */
const depthOf = (text: string): number => {
  let [depth, deepest, quoted] = [0, 0, false]
  for (let i = 0; i < text.length && deepest <= limits.depth; i++) {
    const c = text[i]
    if (quoted && c === '\\') i += 1
    else if (c === '"') quoted = !quoted
    else if (!quoted && (c === '{' || c === '[')) deepest = Math.max(deepest, ++depth)
    else if (!quoted && (c === '}' || c === ']')) depth -= 1
  }
  return deepest
}

/** Errors (`usage`): no JSON, or of a depth that nothing here has. */
export const jsonOf = (text: string): Checked<unknown> =>
  depthOf(text) > limits.depth
    ? fail('usage', 'body', `JSON of at most ${limits.depth} brackets within each other`, 'more')
    : E.tryCatch(
        (): unknown => JSON.parse(text),
        (): readonly [LatentError] => [
          { tag: 'usage', at: 'body', expected: 'JSON', got: JSON.stringify(text.slice(0, 40)) },
        ],
      )

const base64 = shortText(limits.settings)
const start: Codec<Start> = tagged('kind', {
  picture: record({ picture: base64, strength: number({ min: 0, max: 1 }) }, {}, { mask: base64 }),
  between: record({ towards: integer({ min: 0 }) }),
})

/** Settings as JSON has them, for a model. */
const settingsFor = ({ classes, samplers, spacings, most }: About): Codec<Settings> =>
  record(
    {
      count: integer({ min: 1, max: most.count }),
      seed: integer({ min: 0 }),
      steps: integer({ min: 1, max: most.steps }),
      guidance: number({ min: 0, max: most.guidance }),
      sampler: word(samplers),
    },
    {},
    {
      prompt: shortText(most.text),
      negative: shortText(most.text),
      ...(classes.length === 0 ? {} : { class: word(classes) }),
      ...(spacings.length === 0 ? {} : { spacing: word(spacings) }),
      from: start,
    },
  )

const told = (about: About, { prompt, class: one, negative, guidance }: Settings): Checked<unknown> => {
  const need = (at: string, is: boolean, expected: string, got: string): Checked<unknown> =>
    is ? E.right(at) : fail('usage', at, expected, got)
  return collect([
    need('/prompt', (prompt !== undefined) === (about.condition === 'text'), ...mustBe('a prompt', about, prompt)),
    need('/class', (one !== undefined) === about.classes.length > 0, ...mustBe('a class', about, one)),
    need('/negative', negative === undefined || guidance !== 1, 'guidance to lead away with', 'guidance 1'),
  ])
}
const mustBe = (what: string, { name }: About, given: string | undefined): readonly [string, string] =>
  given === undefined ? [`${what}: ${name} draws by one`, 'none'] : [`no such thing: ${name} is told none`, 'one']

/** Settings that a model can draw by. Errors (`usage`): every field that does not fit. */
export const settingsOf = (about: About, body: unknown): Checked<Settings> =>
  pipe(
    decode(settingsFor(about), { tag: 'usage' })(body),
    E.tap((settings) => told(about, settings)),
  )

const bytesOf = (base64: string): Uint8Array =>
  pipe(
    O.tryCatch(() => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))),
    O.getOrElse(() => new Uint8Array()),
  )

/** The bytes of a PNG of the model's size out of base64. Errors (`usage`): other bytes, another size. */
export const pngOf = (text: string, side: About['size'], at: string): Checked<Uint8Array> => {
  const expected = `a PNG of ${side.width}x${side.height} pixels in base64`
  const bytes = bytesOf(text)
  if (!isPng(bytes) || bytes.length < 24) return fail('usage', at, expected, 'something else')
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const [width, height] = [view.getUint32(16), view.getUint32(20)]
  return width === side.width && height === side.height
    ? E.right(bytes)
    : fail('usage', at, expected, `${width}x${height}`)
}
