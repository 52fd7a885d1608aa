import { type Decoded, integer, nonEmpty, record, withDefault, word } from '../schema.ts'

/** What held-out pictures are asked while a stage is trained. */
export const validation = record(
  {
    /** Steps from one to the next; the last step has one too. */
    every: integer({ min: 1, max: 1e9 }),
  },
  {
    /** So many of the pictures held out, spread evenly over them. */
    pictures: withDefault(integer({ min: 1, max: 1e6 }), 256),
  },
  {
    /** Which state is the best: kept in `best`, beside `checkpoints`. */
    monitor: record(
      {
        /** As `metrics.jsonl` names it: `val/psnr`. */
        metric: nonEmpty,
      },
      {
        /** What the run goes on with once the stage is trained, and draws with. */
        use: withDefault(word(['last', 'best']), 'last'),
      },
      {
        /** The stage ends after so many validations that were none the better. */
        patience: integer({ min: 1, max: 1e6 }),
      },
    ),
  },
)
export type Validation = Decoded<typeof validation>
export type Monitor = NonNullable<Validation['monitor']>

/** What is said of a metric of held-out pictures, and of the same with averaged weights. */
export const validated = (metric: string, averaged = false): string => `val/${metric}${averaged ? '_ema' : ''}`

/** Metrics that are the better the higher they are. */
const rising: readonly string[] = ['psnr', 'ssim', 'perplexity', 'cluster_usage'].flatMap((metric) => [
  validated(metric),
  validated(metric, true),
])
export const rises = (metric: string): boolean => rising.includes(metric)
