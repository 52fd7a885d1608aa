import type { Experiment } from '../experiment/document.ts'
import { processOf } from '../experiment/process.ts'
import { E } from '../prelude.ts'
import { snrOf } from '../schedulers/path.ts'
import { type Plan, stagesOf, trainingOf } from '../train/plan.ts'
import type { Chart } from '../train/report/index.ts'

/** What an experiment declares, as curves. */

const count = 200
const shares = Array.from({ length: count + 1 }, (_, i) => i / count)

/** The learning rate of each stage. */
export const rateCharts = (e: Experiment, plan: Plan): readonly Chart[] =>
  stagesOf(plan).flatMap((stage) => {
    const steps = trainingOf(e, stage)?.steps ?? 0
    const at = [...new Set(shares.map((share) => Math.round(share * Math.max(0, steps - 1))))]
    const points = at.map((step) => [step + 1, stage.step.rate(step)] as const)
    return steps === 0
      ? []
      : [
          {
            title: `${stage.name}: learning rate`,
            along: 'step',
            series: [{ name: 'learning rate', points, colour: 0 }],
          },
        ]
  })

/** How much is left of data and how much is noise, along the way from data to noise, and the ratio of their powers. */
export const scheduleCharts = ({ diffusion }: Experiment): readonly Chart[] => {
  if (diffusion === undefined) return []
  const process = processOf(diffusion.schedule)
  if (E.isLeft(process)) return []
  const { along, at } = process.right.path
  const levels = shares.map((share) => ({ t: along(share), ...at(along(share)) }))
  const snr = levels.map((level) => [level.t, snrOf(level)] as const).filter(([, x]) => x > 0 && Number.isFinite(x))
  return [
    {
      title: 'shares in x_t',
      along: 'time',
      series: [
        { name: 'of data, alpha', points: levels.map(({ t, alpha }) => [t, alpha] as const), colour: 0 },
        { name: 'of noise, sigma', points: levels.map(({ t, sigma }) => [t, sigma] as const), colour: 1 },
      ],
    },
    {
      title: 'signal to noise, alpha^2 / sigma^2',
      along: 'time',
      log: true,
      series: [{ name: 'SNR', points: snr, colour: 2 }],
    },
  ]
}
