import { autoencoderOf, type Experiment, type Training } from '../experiment/document.ts'

/** An experiment in short: a row a field, as `--set` names it. */

export type Recipe = readonly (readonly [pointer: string, value: string])[]

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const most = 240
const clipped = (text: string): string => (text.length > most ? `${text.slice(0, most - 3)}...` : text)

/** `warm-up-cosine, rate 0.002, warmUp 50` */
const says = (value: unknown): string => {
  if (!isRecord(value)) return typeof value === 'string' ? value : JSON.stringify(value)
  return Object.entries(value)
    .map(([key, of]) =>
      key === 'kind' || key === 'sampler' ? says(of) : isRecord(of) ? `${key} (${says(of)})` : `${key} ${says(of)}`,
    )
    .join(', ')
}

const rows = (pointer: string, of: object, without: readonly string[] = []): Recipe =>
  Object.entries(of).flatMap(([key, value]) =>
    without.includes(key) || value === undefined ? [] : [[`${pointer}/${key}`, clipped(says(value))] as const],
  )
const training = (pointer: string, t: Training): Recipe =>
  rows(`${pointer}/training`, t, ['logEvery', 'previewEvery', 'checkpointEvery'])

/** All that makes a run what it is. */
export const recipeOf = (e: Experiment): Recipe => {
  const autoencoder = autoencoderOf(e)
  return [
    ['/seed', `${e.seed}`],
    ['/data', clipped(says(e.data))],
    ...(autoencoder === undefined
      ? ([['/firstStage', says(e.firstStage)]] as const)
      : [...rows('/firstStage', autoencoder, ['training']), ...training('/firstStage', autoencoder.training)]),
    ...(e.diffusion === undefined
      ? []
      : [...rows('/diffusion', e.diffusion, ['training']), ...training('/diffusion', e.diffusion.training)]),
    ['/sampling', clipped(says(e.sampling))],
  ]
}
