import { about, type Decoded, describedRecord, integer, nonEmpty, withDefault, word } from '../schema.ts'

/** What held-out pictures are asked while a stage is trained. */
export const validation = describedRecord(
  {
    every: about(
      'Steps from one validation to the next; the last step has one too.',
      integer({ min: 1, max: 1e9 }),
      250,
    ),
  },
  {
    pictures: about(
      'How many of the pictures held out are asked, spread evenly over them; more are steadier numbers, and take longer.',
      withDefault(integer({ min: 1, max: 1e6 }), 256),
    ),
  },
  {
    monitor: about(
      'Which state is the best: kept in best, beside checkpoints.',
      describedRecord(
        {
          metric: about('The number that is watched, as metrics.jsonl names it.', nonEmpty, 'val/psnr'),
        },
        {
          use: about(
            'What the run goes on with once the stage is trained, and draws with.',
            withDefault(word(['last', 'best']), 'last'),
          ),
        },
        {
          patience: about(
            'Validations that may be none the better before the stage ends early; it never does where left out.',
            integer({ min: 1, max: 1e6 }),
            5,
          ),
        },
      ),
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
