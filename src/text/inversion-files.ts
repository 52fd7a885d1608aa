import type { StoredArrays } from '../io/stored.ts'
import { inversionEncoders, nameKey, type TextualInversion, tokenKey, type Vectors } from './textual-inversion.ts'

/** Words that were learnt, as the files of other programs. */

/** A word with its vectors for each of a model's text encoders. */
export const inversionOf = (token: string, tables: readonly Vectors[]): TextualInversion => {
  const [only] = tables
  return {
    token,
    vectors:
      only !== undefined && tables.length === 1
        ? { any: only }
        : Object.fromEntries(tables.flatMap((table, k) => (k < 2 ? [[inversionEncoders[k], table]] : []))),
  }
}

export interface InversionFile {
  readonly tensors: StoredArrays
  readonly metadata: Readonly<Record<string, string>>
}

/** What a file of the web interface is named by: its word. */
const fileName = (token: string): string => token.replace(/[^\p{L}\p{N}_-]/gu, '') || 'word'

/** Whose file it is, its name, and what is in it. Models of two encoders have one format, `clip_l` and `clip_g`. */
export const inversionFiles = ({
  token,
  vectors: { any, ...named },
}: TextualInversion): readonly (readonly [whose: string, name: string, file: InversionFile])[] => {
  const file = (tensors: StoredArrays, metadata: InversionFile['metadata']): InversionFile => ({ tensors, metadata })
  const format = { format: 'pt' }
  return [
    [
      'diffusers',
      'learned_embeds.safetensors',
      file(any === undefined ? named : { [token]: any }, { ...format, [tokenKey]: token }),
    ],
    // Whose word is the file's name.
    [
      'the web interface',
      `${fileName(token)}.safetensors`,
      file(any === undefined ? named : { [nameKey]: any }, format),
    ],
  ]
}
