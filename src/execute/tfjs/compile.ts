import { pipe } from '../../prelude.ts'
import { type Kept, moveTransposes } from './layout.ts'
import type { Target } from './lowering.ts'
import { type Program, schedule } from './program.ts'
import { rewrite } from './quirks.ts'
import type { Roots } from './value.ts'

/** What a backend runs for a lowered graph whose constants are kept as `kept` says. Pure. */
export const programOf = (roots: Roots, { sums, quirk, halves, lean }: Target, kept: Kept): Program =>
  pipe(moveTransposes(roots, { leaves: kept }), rewrite(sums), rewrite(quirk), rewrite(halves), lean, schedule)
