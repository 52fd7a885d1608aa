import { type Checked, collect, type Errors, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { decode } from '../schema.ts'
import { conditionerOf } from './conditioning.ts'
import { decodeExperiment } from './decode.ts'
import { type Diffusion, type Experiment, experiment } from './document.ts'
import { channelsSaid } from './objective.ts'
import type { Own, OwnData, OwnLoss, OwnNetwork } from './own.ts'
import { ownParts } from './own-fields.ts'
import type { Sampling } from './sampling.ts'
import { diffusedOf, spaceOf } from './space.ts'

/** Experiments that programs define. */

/** What may be left out of a document, at any depth: what has a default gets it, what has none is an error that names it. */
export type Declared<A> = A extends readonly unknown[]
  ? A
  : A extends object
    ? { readonly [K in Exclude<keyof A, 'kind'>]?: Declared<A[K]> } & Pick<A, Extract<keyof A, 'kind'>>
    : A

type Data = Declared<Exclude<Experiment['data'], { readonly kind: 'own' }>>
type With<A, F> = Omit<A, keyof F> & F

/** An experiment in the words of its JSON, with functions in four places where JSON has names. */
export interface ExperimentDefinition
  extends Omit<Declared<Experiment>, 'own' | 'name' | 'data' | 'diffusion' | 'sampling'> {
  readonly name: string
  /** Of the functions: a run goes on, and is drawn from, with these of the same name and version alone. Needed where there are some. */
  readonly version?: string
  /** The pictures: those that JSON can name, or those of a function. */
  readonly data: Data | { readonly kind: OwnData; readonly size?: number; readonly heldOut?: number }
  readonly diffusion?: With<
    Declared<Diffusion>,
    {
      /** A U-Net by its numbers, or a network that is a function. */
      readonly unet?: Declared<Diffusion['unet']> | OwnNetwork
      /** The norm of the errors by its name, or as a function. */
      readonly loss?: Diffusion['loss'] | OwnLoss
    }
  >
  readonly sampling?: With<
    Declared<Sampling>,
    { readonly sampler?: Exclude<Sampling['sampler'], 'own'> | NonNullable<Own['sampler']> }
  >
}

/** An experiment, checked, and the functions that it consists of beside. */
export interface Definition {
  readonly experiment: Experiment
  readonly own: Own
}

/** The U-Net that a document has where a function stands in its place: of the channels that the function has, else as small as can be. */
const standIn = (inChannels: number, outChannels: number) => ({
  ...{ inChannels, outChannels, modelChannels: 32, channelMultipliers: [1], resBlocks: 1, attentionFactors: [] },
  heads: { by: 'channels', channels: 32 },
})

const ownOf = ({ data, diffusion, sampling }: ExperimentDefinition): Own => ({
  ...(typeof data?.kind === 'function' ? { data: data.kind } : {}),
  ...(typeof diffusion?.unet === 'function' ? { unet: diffusion.unet } : {}),
  ...(typeof diffusion?.loss === 'function' ? { loss: diffusion.loss } : {}),
  ...(typeof sampling?.sampler === 'object' ? { sampler: sampling.sampler } : {}),
})

/** The document, with a name, or nothing, where functions stand, and a U-Net of these channels where a network does. */
const documentOf = (d: ExperimentDefinition, own: Own, channels: readonly [number, number]): unknown => {
  const { version, data, diffusion, sampling, ...rest } = d
  const functions = ownParts.filter((part) => own[part] !== undefined)
  const { loss, ...training } = diffusion ?? {}
  return {
    ...rest,
    data: own.data === undefined ? data : { ...data, kind: 'own' },
    ...(diffusion === undefined
      ? {}
      : {
          diffusion: {
            ...training,
            ...(own.unet === undefined ? {} : { unet: standIn(...channels) }),
            ...(own.loss === undefined && loss !== undefined ? { loss } : {}),
          },
        }),
    ...(sampling === undefined
      ? {}
      : { sampling: own.sampler === undefined ? sampling : { ...sampling, sampler: 'own' } }),
    ...(functions.length === 0 ? {} : { own: { name: d.name, version, functions } }),
  }
}

/** The channels of a network: what it sees, and what it says. */
const channelsOf = (e: Experiment): readonly [number, number] => {
  const space = spaceOf(diffusedOf(e), 0)
  const [latent = 0] = space.latent
  const { diffusion } = e
  return diffusion === undefined
    ? [latent, latent]
    : [latent + conditionerOf(diffusion.conditioning, space).channels, latent * channelsSaid(diffusion)]
}

/** Functions have a version, by which a run knows them again. */
const versioned = ({ version }: ExperimentDefinition, own: Own): Checked<unknown> =>
  Object.keys(own).length === 0
    ? version === undefined
      ? E.right(undefined)
      : fail('config', '/version', 'nothing, as the experiment has no functions', version)
    : typeof version === 'string' && version !== ''
      ? E.right(version)
      : fail(
          'config',
          '/version',
          'the version of the functions, a string: a run goes on with the same alone',
          version === undefined ? 'nothing' : JSON.stringify(version),
        )

/**
 * An experiment as its JSON has it, checked in the same way, where `data.kind`, `diffusion.unet`, `diffusion.loss` and `sampling.sampler` may
 * be functions of the program: its pictures, its network, its error, its sampler (`samplers` builds them). It is trained by `train`, with the
 * same loop, checkpoints and report. Errors (`config`): all at once, each at its JSON pointer.
 *
 * @example
 * const definition = orThrow(
 *   defineExperiment({
 *     name: 'digits',
 *     version: '1',
 *     data: { kind: 'folder', path: 'digits', size: 16 },
 *     firstStage: { kind: 'identity' },
 *     diffusion: {
 *       schedule: { kind: 'cosine', timesteps: 1000 },
 *       unet: (x, t, _told, { training }) => network(x, t, training),
 *       training: { steps: 500, batchSize: 16, optimizer: { kind: 'adam' }, learningRate: { kind: 'constant', rate: 1e-3 } },
 *     },
 *   }),
 * )
 * const { dir } = await orThrow(train(definition))
 */
export const defineExperiment = (d: ExperimentDefinition): Checked<Definition> => {
  const own = ownOf(d)
  const first = decode(experiment)(documentOf(d, own, [1, 1]))
  const whole = pipe(
    first,
    E.flatMap((e) => decodeExperiment(documentOf(d, own, channelsOf(e)))),
  )
  const isAlone = (errors: Errors): Errors | undefined => {
    const [head, ...tail] = errors.filter(({ at }) => at !== '/own/version')
    return head === undefined ? undefined : [head, ...tail]
  }
  const version = versioned(d, own)
  const others = E.isLeft(whole) ? isAlone(whole.left) : undefined
  return pipe(
    collect<unknown>([version, others === undefined ? E.right(undefined) : E.left(others)]),
    E.flatMap(() => whole),
    E.map((e) => ({ experiment: e, own })),
  )
}

/** A run's functions are those of a definition. Errors (`config`): another name or version than the run's. */
export const sameOwn = ({ own }: Experiment, definition: Definition | undefined): Checked<unknown> => {
  const given = definition?.experiment.own
  return definition === undefined || (own?.name === given?.name && own?.version === given?.version)
    ? E.right(undefined)
    : fail('config', '/own/version', saysOwn(own), saysOwn(given), 'the definition that the run was trained by')
}
const saysOwn = (own: Experiment['own']): string =>
  own === undefined ? 'no functions' : `${own.name}, version ${own.version}`
