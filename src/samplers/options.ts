import { type Checked, fail } from '../error.ts'
import { E } from '../prelude.ts'

/** A number of a sampler's options, within bounds. Errors (`config`): at the option's pointer. */
export const number = (
  at: string,
  x: number,
  { min, max = Number.POSITIVE_INFINITY }: { readonly min: number; readonly max?: number },
): Checked<number> =>
  x >= min && x <= max && Number.isFinite(x)
    ? E.right(x)
    : fail(
        'config',
        at,
        max === Number.POSITIVE_INFINITY ? `a number not below ${min}` : `a number in [${min}, ${max}]`,
        String(x),
      )
