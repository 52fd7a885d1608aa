import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Checked, type Effect, type Errors, effect, fail, failure } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { encoderScope, type FrozenText, frozenTextFields } from '../experiment/frozen-text.ts'
import { differ } from '../experiment/same.ts'
import { type EncodedPart, positionsOf } from '../experiment/text-encoders.ts'
import { sha256 } from '../io/bytes.ts'
import { E, pipe, RNEA, TE, t } from '../prelude.ts'
import { decode } from '../schema.ts'
import { type TextReader, textRows } from '../text/prompt.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { tokenizerFilesIn } from '../text/tokenizer-files.ts'
import { digest } from '../train/opening.ts'
import type { HeldTexts } from '../train/options.ts'
import { type FoundTexts, isEncoderFolder, withEncoderFolder } from './encoder-folder.ts'
import { withPublished } from './read.ts'
import { isPublishedRun, withPublishedRun } from './run-files.ts'
import { textGraph } from './texts.ts'
import { type Weights, weightsOf } from './weights.ts'

/** Text encoders of published models, which experiments are told by and hold. */

type Encoders = FrozenText['encoders']
const t5Usual = 77

/** What an experiment says of encoders; as many tokens as they read, or as are asked for. */
export const encodersOf = (
  { parts, tokenizers }: Pick<FoundTexts, 'parts' | 'tokenizers'>,
  asked: Pick<FrozenText, 'positions' | 'skip' | 'normalized'> = {},
): Encoders =>
  parts.flatMap((part, k) => {
    const tokenizer = tokenizers[k]
    if (tokenizer === undefined) return []
    const { encoder, pooled, skip, normalized } = part
    const { size, start, end, pad } = tokenizer
    const usual = encoder.kind === 't5' ? t5Usual : Number.POSITIVE_INFINITY
    const positions = Math.min(asked.positions ?? usual, tokenizer.positions, positionsOf(encoder))
    return {
      encoder,
      pooled,
      skip: asked.skip ?? skip,
      normalized: asked.normalized ?? normalized,
      tokens: { size, positions, start, end, pad },
    }
  })

/** Texts as ids, of one encoder after the other. */
export const readerOf = (tokenizers: readonly Tokenizer[], encoders: Encoders): TextReader => ({
  row: textRows(tokenizers.map((tokenizer, k) => [tokenizer, encoders[k]?.tokens.positions ?? tokenizer.positions])),
})

/** The weights of encoders, by the leaves of what is computed of texts. Errors: `file`. */
export const textValues = (parts: readonly EncodedPart[], weights: Weights): Effect<Values> =>
  effect(async (run) => {
    const all: Values[] = []
    for (const [k, part] of parts.entries()) {
      const graph = await run(TE.fromEither(textGraph({ ...part, skip: 0, normalized: true }, 1, 1)))
      const own = await run(weightsOf(graph, `text.${k}`, weights))
      all.push(Object.fromEntries(Object.entries(own).map(([name, value]) => [`${encoderScope(k)}.${name}`, value])))
    }
    return Object.assign({}, ...all)
  })

const at = '/diffusion/conditioning/from'
const expected = 'a published model, imported or as it is, or a text encoder: a folder or a checkpoint'

/** Errors of what lies there, behind the field that names it; an option of `import` is a field beside it. */
const placed =
  (field: string) =>
  (errors: Errors): Errors =>
    pipe(
      errors,
      RNEA.map((e) =>
        e.at === '--tokenizer'
          ? { ...e, tag: 'config' as const, at: field.replace(/from$/, 'tokenizer') }
          : e.at.startsWith(field)
            ? e
            : { ...e, at: `${field}: ${e.at}` },
      ),
    )

type Where = Pick<FrozenText, 'from' | 'tokenizer'>
/** Opens text encoders for as long as `use` takes. Errors: `config`, `file`. */
const withTexts = <A>({ from, tokenizer }: Where, field: string, use: (found: FoundTexts) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    if (from === undefined || !existsSync(from))
      return run(
        TE.fromEither(fail('config', field, expected, from === undefined ? 'nothing' : `${from}, which is not there`)),
      )
    const used = (found: FoundTexts): Effect<A> =>
      found.parts.length > 0
        ? use(found)
        : TE.fromEither(fail('config', field, 'a model that is told texts', `${from}, which has no text encoder`))
    if (await run(isEncoderFolder(from))) return run(withEncoderFolder(from, tokenizer, used))
    if (await isPublishedRun(from))
      return run(
        withPublishedRun(from, ({ document: { conditioning }, tokenizers, weights }) => {
          const folders = conditioning.text.flatMap((part) =>
            part.tokenizer.from === 'folder' ? [join(from, part.tokenizer.name)] : [],
          )
          return used({ parts: conditioning.text, tokenizers, weights, folders })
        }),
      )
    const where = { path: from, ...(tokenizer === undefined ? {} : { tokenizers: [tokenizer] }) }
    return run(
      withPublished(where, ({ document: { conditioning }, tokenizers, weights, folders }) =>
        used({ parts: conditioning.text, tokenizers, weights, folders: Object.values(folders) }),
      ),
    )
  })

/** What of encoders an experiment cannot choose. */
const fixedOf = (encoders: Encoders): unknown =>
  encoders.map(({ encoder, tokens: { positions: _, ...tokens } }) => ({ encoder, tokens }))

const asDeclared = ({ from = '', encoders }: FrozenText, found: FoundTexts): Checked<unknown> => {
  const [first, ...rest] = differ('', fixedOf(encoders), fixedOf(encodersOf(found))).map(({ at: field, was, is }) =>
    failure(
      'file',
      `${from}: ${field}`,
      `${JSON.stringify(was) ?? 'nothing'}, as the experiment has it`,
      JSON.stringify(is) ?? 'nothing',
    ),
  )
  return first === undefined ? E.right(undefined) : E.left([first, ...rest])
}

/** The text encoders of a condition, read. Errors: `config`, `file`: they are not there, or others than are declared. */
export const heldTexts = (condition: FrozenText): Effect<HeldTexts> =>
  pipe(
    withTexts(condition, at, (found) =>
      effect(async (run) => {
        await run(TE.fromEither(asDeclared(condition, found)))
        const weights = await run(textValues(condition.encoders, found.weights))
        const files: string[] = []
        for (const folder of found.folders)
          for (const [name, bytes] of Object.entries(await run(tokenizerFilesIn(folder))).toSorted())
            files.push(`${name} ${sha256(bytes)}`)
        return {
          tokens: readerOf(found.tokenizers, condition.encoders),
          weights,
          sha256: sha256([digest(weights) ?? '', ...files].join('\n')),
        }
      }),
    ),
    TE.mapLeft(placed(at)),
  )

const isObject = t.UnknownRecord.is
/** The places in an experiment's document where a condition on texts may stand. */
const places = [
  ['diffusion', 'conditioning'],
  ['diffusion', 'conditioning', 'told'],
] as const

const found = (document: unknown, path: readonly string[]): unknown =>
  path.reduce((u: unknown, key) => (isObject(u) ? u[key] : undefined), document)
const replaced = (document: unknown, [key, ...rest]: readonly string[], value: unknown): unknown =>
  key === undefined
    ? value
    : { ...(isObject(document) ? document : {}), [key]: replaced(found(document, [key]), rest, value) }

/** A condition with the encoders that lie where it says, and without what is asked of them. */
const looked = (own: FrozenText, folder: string, pointer: string): Effect<FrozenText> => {
  const { skip, normalized, positions, ...c } = own
  const asked = {
    ...(skip === undefined ? {} : { skip }),
    ...(normalized === undefined ? {} : { normalized }),
    ...(positions === undefined ? {} : { positions }),
  }
  const where = {
    from: resolve(folder, c.from ?? ''),
    ...(c.tokenizer === undefined ? {} : { tokenizer: resolve(folder, c.tokenizer) }),
  }
  return pipe(
    withTexts(where, `${pointer}/from`, (texts) => TE.right(encodersOf(texts, asked))),
    TE.bimap(placed(`${pointer}/from`), (encoders) => ({ ...c, encoders: whole(c, encoders) })),
  )
}
/** Sizes are told behind a text as a whole, which the last encoder gives where none does. */
const whole = ({ sizes }: FrozenText, encoders: Encoders): Encoders =>
  sizes === null || encoders.some(({ pooled }) => pooled)
    ? encoders
    : encoders.map((own, k) => ({ ...own, pooled: k === encoders.length - 1 && own.encoder.kind === 'clip' }))

/** An experiment's document with the text encoders that it names; as it is where it names none. Errors: `config`, `file`. */
export const withOwnTexts = (document: unknown, folder: string): Effect<unknown> =>
  effect(async (run) => {
    let now = document
    for (const path of places) {
      const condition = found(now, path)
      if (!isObject(condition) || condition.kind !== 'frozen-text') continue
      const { kind, ...fields } = condition
      const own = decode(frozenTextFields)(fields)
      if (E.isLeft(own) || own.right.from === undefined || own.right.encoders.length > 0) continue
      now = replaced(now, path, { kind, ...(await run(looked(own.right, folder, `/${path.join('/')}`))) })
    }
    return now
  })
