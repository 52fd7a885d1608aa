import { type Effect, failure, reasonOf } from './error.ts'
import { TE } from './prelude.ts'

/** Packages that only some uses need. They are not installed along: who declares graphs does not pay for plots and fonts. */
export const optionalParts = {
  pictures: { packages: ['sharp'], what: 'to read and write files of pictures' },
  loops: { packages: ['wabt'], what: 'to assemble the loops of a training step on the CPU' },
  curves: { packages: ['vega', 'vega-lite', 'dejavu-fonts-ttf'], what: 'to draw loss curves as pictures' },
  page: { packages: ['fastify'], what: 'to serve the page' },
} as const
/** A part by what it is for. */
export type OptionalPart = keyof typeof optionalParts

/** Node's word for a package that is not there. */
const missing = /^(ERR_)?MODULE_NOT_FOUND$/
const isMissing = (reason: unknown): boolean =>
  reason instanceof Error && 'code' in reason && missing.test(String(reason.code))

/** What a part's packages have, loaded when it is first asked for. Errors: `run`, which says what to install. */
export const optional = <A>(part: OptionalPart, load: () => Promise<A>): Effect<A> => {
  const { packages, what } = optionalParts[part]
  const names = packages.join(', ')
  return TE.tryCatch(load, (reason) => [
    failure(
      'run',
      names,
      `the package${packages.length > 1 ? 's' : ''} ${names}, ${what}`,
      isMissing(reason) ? 'not installed' : reasonOf(reason),
      `npm install ${packages.join(' ')}`,
    ),
  ])
}
