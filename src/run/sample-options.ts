import { type Checked, fail, type LatentError } from '../error.ts'
import { crossChecks } from '../experiment/cross-checks.ts'
import type { Experiment } from '../experiment/document.ts'
import { requested } from '../experiment/sampling.ts'
import type { Half } from '../graph/types.ts'
import { E, flow, pipe, RNEA } from '../prelude.ts'
import type { AskedOptions } from './asked.ts'
import { vectorOption } from './option-names.ts'
import type { PublishedSampling } from './published-request.ts'
import type { ConditionOptions } from './reads.ts'

/** What is asked of a run, in the options of `sample`, and which of them apply. */

/** What of the declared sampling can be asked for otherwise. */
export interface SamplingOptions {
  readonly guidanceRescale?: number
  readonly guidance?: number
  readonly steps?: number
  readonly sampler?: string
  readonly spacing?: string
  readonly eta?: number
}
export interface Options extends SamplingOptions, ConditionOptions, AskedOptions, PublishedAlone {
  readonly seed?: number
  readonly count?: number
  readonly checkpoint?: 'last' | 'best'
  readonly ema?: number
  readonly executor?: string
  readonly precision?: 'float32' | Half
}

/** Of published models alone. */
type PublishedAlone = Pick<
  PublishedSampling,
  | ('pictureGuidance' | 'clipSkip' | 'weigh' | 'size' | 'depth' | 'controlScale' | 'aesthetic')
  | ('lora' | 'loraMerge' | 'embedding' | 'control' | 'controlConfig')
>
const publishedAlone: readonly (readonly [keyof PublishedAlone, string])[] = [
  ['pictureGuidance', '--picture-guidance'],
  ['clipSkip', '--clip-skip'],
  ['weigh', '--weigh'],
  ['size', '--size'],
  ['depth', '--depth'],
  ['aesthetic', '--aesthetic'],
  ['controlScale', '--control-scale'],
  ['lora', '--lora'],
  ['loraMerge', '--lora-merge'],
  ['embedding', '--embedding'],
  ['control', '--control'],
  ['controlConfig', '--control-config'],
]
const experimentsAlone: readonly (readonly [keyof Options, string])[] = [
  ['spacing', '--spacing'],
  ['checkpoint', '--checkpoint'],
  ['ema', '--ema'],
  ['vector', vectorOption],
  ['invert', '--invert'],
  ['fromClass', '--from-class'],
  ['fromPrompt', '--from-prompt'],
  ['interpolate', '--interpolate'],
  ['vary', '--vary'],
]
const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0)
/** Options that apply to the kind of run. Errors (`usage`): the first that does not. */
export const applicable = (options: Options, published: boolean): Checked<unknown> => {
  const found = (published ? experimentsAlone : publishedAlone).find(([name]) => isGiven(options[name]))
  return found === undefined
    ? published && (options.precision ?? 'float32') !== 'float32'
      ? fail('usage', '--precision', 'float32, as published models are drawn from', options.precision ?? '')
      : E.right(undefined)
    : fail('usage', found[1], published ? "a run of one's own" : 'a run of a published model', 'given')
}

/** Settings of an experiment's sampling in the words of this command's options. */
const inOptions = (hint: string): string =>
  hint
    .replace(/--set '\/sampling=\{"sampler":"([^"]*)"\}'/g, '--sampler $1')
    .replace(/--set \/sampling\/(steps|spacing|guidance|sampler|eta)=/g, '--$1 ')
const asOption = ({ hint, ...error }: LatentError): LatentError => {
  const at = /^\/sampling(\/\w+)$/.exec(error.at)?.[1]
  return {
    ...error,
    ...(at === undefined ? {} : { tag: 'usage' as const, at: optionAt(at) }),
    ...(hint === undefined ? {} : { hint: inOptions(hint) }),
  }
}

/** The experiment with the sampling that the options ask for, checked again as a whole. */
export const withSampling = (e: Experiment, options: SamplingOptions): Checked<Experiment> => {
  const { guidanceRescale, guidance, steps, sampler, spacing, eta } = options
  return pipe(
    requested(e.sampling, {
      ...(guidanceRescale === undefined ? {} : { guidanceRescale }),
      ...(guidance === undefined ? {} : { guidance }),
      ...(steps === undefined ? {} : { steps }),
      ...(sampler === undefined ? {} : { sampler }),
      ...(spacing === undefined ? {} : { spacing }),
      ...(eta === undefined ? {} : { eta }),
    }),
    E.map((sampling) => ({ ...e, sampling })),
    E.mapLeft(RNEA.map((error) => ({ ...error, tag: 'usage' as const, at: optionAt(error.at) }))),
    E.flatMap(flow(crossChecks, E.mapLeft(RNEA.map(asOption)))),
  )
}
/** `/guidanceRescale` as it is typed: `--guidance-rescale`. */
const optionAt = (pointer: string): string =>
  pointer.replace(/^\//, '--').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
