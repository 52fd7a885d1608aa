import { at, input } from '../../declare/index.ts'
import type { Checked } from '../../error.ts'
import { ints, type Values } from '../../execute/executor.ts'
import { ema, emaDecay, scalarInputs, stateOutputs } from '../../optimizers/index.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import { flag, integer, list, number, record, text, withDefault } from '../../schema.ts'
import { toValue } from '../case.ts'
import { adapter, type Plan } from '../plan.ts'
import { fedScalars, runSteps, type Stepped, scalarValue } from '../stepping.ts'
import { column } from './schedule.ts'

const emaConfig = record(
  { steps: integer({ min: 1 }), buffer_names: list(list(text)) },
  { decay: withDefault(number(), 0.9999), use_num_updates: withDefault(flag, true) },
)

export const averaging = adapter(emaConfig, ({ steps, buffer_names, decay, use_num_updates }, c): Checked<Plan> => {
  const options = { decay, warmUp: use_num_updates }
  const average = ema(options)
  const shadowNames = new Map(buffer_names.map(([name = '', shadow = '']) => [name, shadow]))
  const averaged = RR.filterWithIndex((k: string) => shadowNames.has(k))(c.params)
  const parameters = RR.mapWithIndex((k: string, { shape }: (typeof averaged)[string]) =>
    input(k, { dtype: 'float32', shape }),
  )(averaged)
  const state = average.update({
    parameters,
    state: average.init('ema', parameters),
    scalars: scalarInputs('ema', average.scalars),
  })
  const leaf = (k: string): string => at('ema.shadow', k)
  const updates = Array.from({ length: steps }, (_, i) => i + 1)
  const stepping = {
    state: stateOutputs('ema', state),
    outputs: {},
    initial: Object.fromEntries(Object.entries(averaged).map(([k, array]) => [leaf(k), toValue(array)])),
    feeds: updates.map((n) => ({
      ...fedScalars('ema', average.scalars, average.at(n)),
      ...Object.fromEntries(
        Object.keys(averaged).flatMap((k) => {
          const value = c.inputs[`step${n - 1}.${k}`]
          return value === undefined ? [] : [[k, toValue(value)] as const]
        }),
      ),
    })),
  }
  const shadows = ({ state: after }: Stepped, i: number): Values =>
    Object.fromEntries(
      Object.keys(averaged).flatMap((k) => {
        const value = after[leaf(k)]
        return value === undefined ? [] : [[`out.step${i}.shadow.${shadowNames.get(k)}`, value] as const]
      }),
    )
  return E.right({
    kind: 'effect',
    run: (executor) =>
      pipe(
        runSteps(stepping)(executor),
        TE.map((all) => ({
          ...Object.assign({}, ...all.map(shadows)),
          'out.num_updates': ints([], Int32Array.of(use_num_updates ? steps : -1)),
          'out.decay': scalarValue(decay),
          'out.effective_decay': column(updates.map((n) => emaDecay(options, n))),
        })),
      ),
  })
})
