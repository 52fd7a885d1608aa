import type { About, Drawn, Reconstructed, Settings } from '../src/serve/api.ts'

/** What the form holds, and what is asked by it. */

export type Beginning = 'noise' | 'between' | 'picture'

export interface Form {
  readonly prompt: string
  readonly class: string
  readonly negative: string
  readonly count: number
  readonly seed: number
  readonly steps: number
  readonly guidance: number
  readonly sampler: string
  readonly spacing: string
  readonly begin: Beginning
  readonly towards: number
  readonly strength: number
  readonly picture?: Reconstructed
  /** What is painted: a URL of data, white where the picture is drawn anew. */
  readonly mask?: string | undefined
  readonly newSeed: boolean
}

export const isText = ({ condition }: About): boolean => condition === 'text'

export const formFor = (about: About, before?: Form): Form => {
  const { steps, guidance, sampler, spacing, seed } = about.defaults
  return {
    prompt: before?.prompt ?? '',
    class: about.classes[0] ?? '',
    negative: '',
    count: Math.min(4, about.most.count),
    ...{ seed, steps: Math.min(steps, about.most.steps), guidance, sampler },
    spacing: spacing ?? about.spacings[0] ?? '',
    begin: 'noise',
    towards: seed + 1,
    strength: 0.75,
    newSeed: false,
  }
}

const base64Of = (url: string): string => url.slice(url.indexOf(',') + 1)

export const settingsOf = (form: Form, about: About): Settings => {
  const { count, seed, steps, guidance, sampler, spacing, begin, towards, strength, picture, mask } = form
  const told = isText(about) ? { prompt: form.prompt } : about.classes.length > 0 ? { class: form.class } : {}
  const negative = isText(about) && form.negative.trim() !== '' && guidance !== 1 ? { negative: form.negative } : {}
  const from: Pick<Settings, 'from'> =
    begin === 'between'
      ? { from: { kind: 'between', towards } }
      : begin === 'picture' && picture !== undefined
        ? {
            from: {
              kind: 'picture',
              picture: base64Of(picture.picture),
              strength: mask === undefined ? strength : 1,
              ...(mask === undefined ? {} : { mask: base64Of(mask) }),
            },
          }
        : {}
  return {
    ...told,
    ...negative,
    ...{ count, seed, steps, guidance, sampler },
    ...(about.spacings.length === 0 ? {} : { spacing }),
    ...from,
  }
}

/** The form with the settings of a drawing; a picture that it began with is brought back by hand. */
export const formOf = (form: Form, { settings }: Drawn): Form => {
  const { from, prompt, class: one, negative, spacing, ...numbers } = settings
  return {
    ...form,
    ...numbers,
    prompt: prompt ?? form.prompt,
    class: one ?? form.class,
    negative: negative ?? '',
    spacing: spacing ?? form.spacing,
    begin: from?.kind ?? 'noise',
    towards: from?.kind === 'between' ? from.towards : form.towards,
    strength: from?.kind === 'picture' ? from.strength : form.strength,
  }
}

/** `a red circle · dpm++-2m, 25 steps · guidance 4 · seed 7` */
export const says = ({ settings: s }: Pick<Drawn, 'settings'>): string =>
  [
    `${s.sampler}, ${s.steps} steps`,
    `guidance ${s.guidance}`,
    s.from?.kind === 'between' ? `seeds ${s.seed} to ${s.from.towards}` : `seed ${s.seed}`,
    ...(s.from?.kind === 'picture' ? [`from a picture, strength ${s.from.strength}`] : []),
    ...(s.negative === undefined ? [] : [`not: ${s.negative}`]),
  ].join(' · ')
export const titleOf = ({ prompt, class: one }: Drawn['settings']): string => prompt ?? one ?? 'Unconditional'
