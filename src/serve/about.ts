import type { Description } from '../run/opened.ts'
import type { About } from './api.ts'
import { limits } from './limits.ts'

/** What can be asked of a run from the page, with prompts to try. */
export const aboutOf = (d: Description, examples: readonly string[]): About => ({
  examples,
  name: d.name,
  condition: d.condition,
  classes: d.classes ?? [],
  samplers: d.samplers,
  spacings: d.spacings,
  defaults: d.defaults,
  size: d.size,
  most: {
    count: Math.min(d.maxCount, limits.count),
    steps: limits.steps,
    guidance: limits.guidance,
    text: limits.text,
  },
  ...(d.picture === undefined ? {} : { picture: d.picture }),
})
