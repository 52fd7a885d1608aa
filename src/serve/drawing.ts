import { type Checked, type Effect, effect, type LatentError, reasonOf } from '../error.ts'
import type { Picture } from '../io/pictures.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { SampleFrom, SampleRequest, SampleStep } from '../run/request.ts'
import { argsOf, beside, commandOf, programOf, sharesOf } from './again.ts'
import type { About, DrawingEvent, Drawn, Settings } from './api.ts'
import { type Coding, dataUrl, encodeEach, previews } from './coder.ts'
import type { Drawable } from './drawable.ts'
import type { Files, Gallery } from './gallery.ts'
import { limits } from './limits.ts'
import type { Model } from './models.ts'
import { pngOf } from './requests.ts'
import type { Stream } from './stream.ts'

/** A drawing: from its settings to pictures in the gallery, told of step by step. */

/** The pictures that a drawing begins with, as they came. */
interface Given {
  readonly from?: Uint8Array
  readonly mask?: Uint8Array
}

/** Errors (`usage`): pictures that are none, or of another size. */
export const givenOf = ({ size }: About, { from }: Settings): Checked<Given> => {
  if (from?.kind !== 'picture') return E.right({})
  return pipe(
    E.Do,
    E.bind('from', () => pngOf(from.picture, size, '/from/picture')),
    E.bind('mask', () => (from.mask === undefined ? E.right(undefined) : pngOf(from.mask, size, '/from/mask'))),
    E.map(({ from: picture, mask }) => ({ from: picture, ...(mask === undefined ? {} : { mask }) })),
  )
}

/** What is kept of settings, and shown: not the pictures. */
const keptOf = ({ from, ...settings }: Settings): Drawn['settings'] => ({
  ...settings,
  ...(from === undefined
    ? {}
    : { from: from.kind === 'between' ? from : { kind: from.kind, strength: from.strength } }),
})

/** Which steps of a walk are shown: evenly, and the last. */
const isShown = (done: number, of: number): boolean => {
  const every = Math.ceil(of / limits.previews.steps)
  return done === of || done % every === 0
}

export interface Drawing {
  readonly coding: Coding
  readonly model: Pick<Model, 'id' | 'run'>
  readonly run: Drawable
  readonly about: About
  readonly settings: Settings
  readonly given: Given
  readonly stream: Pick<Stream<DrawingEvent>, 'send' | 'gone'>
  readonly gallery: Gallery
}

const requestOf = ({ coding, settings, given, stream, about: { size } }: Drawing): Effect<SampleRequest> =>
  effect(async (go) => {
    const { from, ...rest } = settings
    const pictures: { picture?: Picture; mask?: Picture } = {}
    if (given.from !== undefined) pictures.picture = await go(coding.admit(given.from, size))
    if (given.mask !== undefined) pictures.mask = await go(coding.admit(given.mask, size))
    const { picture, mask } = pictures
    const begin: SampleFrom | undefined =
      from?.kind === 'between'
        ? { towards: from.towards, shares: sharesOf(settings.count) }
        : from?.kind === 'picture' && picture !== undefined
          ? { picture, strength: from.strength, ...(mask === undefined ? {} : { mask }) }
          : undefined
    const onStep = async ({ done, of, from: first, predicted }: SampleStep): Promise<void> => {
      const step = { kind: 'step', done, of, from: first } as const
      if (!isShown(done, of)) return stream.send(step)
      const shown = await pipe(
        predicted(),
        TE.flatMap((pictures) => previews(coding, pictures)),
      )()
      await stream.send(E.isLeft(shown) ? step : { ...step, pictures: shown.right.map(dataUrl) })
    }
    return { ...rest, ...(begin === undefined ? {} : { from: begin }), signal: stream.gone, onStep }
  })

/** Draws, keeps what came of it, and tells of it. */
export const draw = (drawing: Drawing): Effect<void> =>
  effect(async (go) => {
    const { coding, model, run, settings, given, stream, gallery } = drawing
    const drawn = await go(run.sample(await go(requestOf(drawing))))
    const kept = keptOf(settings)
    const masked = given.mask !== undefined
    const pictures = await go(encodeEach(coding, drawn, { run: model.run, args: argsOf(kept, masked) }))
    const files: Files = {
      ...Object.fromEntries(pictures.map((bytes, i) => [`${i + 1}.png`, bytes])),
      ...(given.from === undefined ? {} : { [beside.from]: given.from }),
      ...(given.mask === undefined ? {} : { [beside.mask]: given.mask }),
    }
    const entry = gallery.add(files, (id, urlOf) => ({
      id,
      model: model.id,
      settings: kept,
      pictures: pictures.map((_, i) => urlOf(`${i + 1}.png`)),
      ...(given.from === undefined ? {} : { from: urlOf(beside.from) }),
      ...(given.mask === undefined ? {} : { mask: urlOf(beside.mask) }),
      command: commandOf(model.run, kept, masked),
      program: programOf(model.run, kept, masked),
    }))
    await stream.send({ kind: 'done', drawn: entry })
  })

/** An exception, told as an error. */
export const bug = (reason: unknown): LatentError => ({
  tag: 'run',
  at: 'latentgraph',
  expected: 'no bug',
  got: reasonOf(reason).split('\n')[0] ?? '',
  hint: 'please report it',
})
