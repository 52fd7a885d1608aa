import { lpips } from '../../nn/index.ts'
import { flag, record, withDefault, word } from '../../schema.ts'
import { parameterTolerances } from '../formula.ts'
import { adapter, area } from '../plan.ts'
import { given, graphPlan } from '../rebuild.ts'

export const lpipsArea = area(
  {
    'lpips.py LPIPS': adapter(
      record(
        {},
        { net: withDefault(word(['vgg']), 'vgg'), normalize: withDefault(flag, false) },
        { version: word(['0.1']) },
      ),
      ({ normalize }, c) => {
        const distance = lpips('', { pixels: normalize ? '[0, 1]' : '[-1, 1]' })
        const { total, layers } = distance(given(c, 'in0'), given(c, 'in1'))
        return graphPlan(c, { total, ...Object.fromEntries(layers.map((x, i) => [`layer${i}`, x])) })
      },
    ),
  },
  [
    ...parameterTolerances,
    { tensor: /^out/, measure: 'scaled', limit: 1e-5 },
    { tensor: /^grad/, measure: 'scaled', limit: 1e-4 },
  ],
)
