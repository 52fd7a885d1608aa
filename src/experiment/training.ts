import { halves } from '../graph/types.ts'
import { adamDefaults, adamWDefaults, sgdDefaults } from '../optimizers/index.ts'
import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  flag,
  integer,
  list,
  number,
  withDefault,
  word,
} from '../schema.ts'
import { learningRate as rates } from './learning-rate.ts'
import { postHocEma } from './post-hoc-ema.ts'
import { validation } from './validation.ts'

/** How a network is trained, as an experiment declares it. */

/** Of steps, pictures, or both together. */
export const count = integer({ min: 1, max: 1e9 })
/** The share of the past in a running average: at 1 nothing new would come in. */
const share = number({ min: 0, max: 0.999999 })
const betas = about(
  'Share of the past in the running averages of the gradient and of its square; nearer to 1 is smoother and slower.',
  withDefault(list(share, { min: 2, max: 2 }), adamDefaults.betas),
)
const eps = about(
  'What is added to the root of the squared gradient, so that rare gradients are not divided by 0.',
  withDefault(number({ min: 1e-20, max: 1 }), adamDefaults.eps),
)
const decay = number({ min: 0, max: 1e4 })
export const optimizer = about(
  'What makes a step of the gradients.',
  describedTagged('kind', {
    adam: about(
      'Steps of about the learning rate in every parameter, whatever the size of its gradients (Kingma and Ba 2015).',
      describedRecord(
        {},
        {
          betas,
          eps,
          weightDecay: about(
            'How much of each weight is added to its gradient; 0 for none.',
            withDefault(decay, adamDefaults.weightDecay),
          ),
        },
      ),
    ),
    adamw: about(
      'Adam with decoupled weight decay (Loshchilov and Hutter 2019): the usual choice.',
      describedRecord(
        {},
        {
          betas,
          eps,
          weightDecay: about(
            'Share of each weight, times the learning rate, that is taken away at each step; more of it keeps weights small.',
            withDefault(decay, adamWDefaults.weightDecay),
          ),
        },
      ),
    ),
    sgd: about(
      'Steps along the gradient with momentum; it needs a larger learning rate than Adam, tuned to the network.',
      describedRecord(
        {},
        {
          momentum: about(
            'Share of the past in the running sum of gradients; 0 for none.',
            withDefault(share, sgdDefaults.momentum),
          ),
          weightDecay: about(
            'How much of each weight is added to its gradient; 0 for none.',
            withDefault(decay, sgdDefaults.weightDecay),
          ),
        },
      ),
    ),
  }),
  { kind: 'adamw' },
)
export const learningRate = about(
  'How long steps are, and how that changes as training goes: too high and the loss jumps or grows, too low and it falls slowly.',
  rates,
  { kind: 'warm-up-cosine', rate: 1e-3, warmUp: 100 },
)

export const training = describedRecord(
  {
    steps: about('Steps of the optimiser, of one batch each; twice as many take twice the time.', count, 1500),
    batchSize: about(
      'Pictures of a batch: memory grows with it, and the noise of gradients falls.',
      integer({ min: 1, max: 65536 }),
      32,
    ),
    optimizer,
    learningRate,
  },
  {
    microBatches: about(
      'Equal parts of the batch, whose gradients are averaged; they are computed side by side where the processor has cores for it, which small networks gain from.',
      withDefault(integer({ min: 1, max: 64 }), 1),
    ),
    accumulate: about(
      'Batches of a step, run one after another in the memory of one: a step learns from batchSize times as many pictures.',
      withDefault(integer({ min: 1, max: 1024 }), 1),
    ),
    precision: about(
      'What products and the activations between them are computed in: the halves take less memory, and less time where the device has units for them. Parameters, moments, statistics of norms, softmax, losses and gradients of weights are float32 in any case; in float16 the loss is scaled, as far as its gradients stay finite.',
      withDefault(word(['float32', ...halves]), 'float32'),
    ),
    flip: about(
      'Whether pictures are mirrored left to right with probability 1/2: as good as more pictures, where left and right do not matter.',
      withDefault(flag, false),
    ),
    logEvery: about('Steps from one line of progress and of metrics.jsonl to the next.', withDefault(count, 50)),
    previewEvery: about(
      'Steps from one preview picture to the next: reconstructions, or samples in few steps.',
      withDefault(count, 500),
    ),
    checkpointEvery: about(
      'Steps from one checkpoint to the next: what --resume goes on from.',
      withDefault(count, 500),
    ),
  },
  {
    clipNorm: about(
      'Gradients are scaled down to at most this global norm; unbounded where left out. 1 is usual, and keeps a bad batch from doing harm.',
      number({ min: 1e-6, max: 1e6 }),
      1,
    ),
    emaDecay: about(
      'Share of the past in the moving average of the weights that samples are drawn with; it rises with (1 + n)/(10 + n), and no average is kept where left out. Nearer to 1 for longer trainings.',
      number({ min: 0, max: 0.9999999 }),
      0.999,
    ),
    postHocEma: about(
      'Averages by powers of time that are stored as training goes, so that others can be made of them once it is over (Karras et al. 2024).',
      postHocEma,
      { sigmaRel: [0.05, 0.1], every: 500 },
    ),
    memoryBudget: about(
      'MiB that a batch may need at a time; what is not kept for the backward pass is computed a second time. Less of it costs up to a third of the speed.',
      integer({ min: 1, max: 2 ** 24 }),
      2048,
    ),
    validate: about('What held-out pictures are asked while the stage is trained; nothing where left out.', validation),
  },
)
export type Training = Decoded<typeof training>
/** Pictures that a step of the optimiser learns from. */
export const effectiveBatch = ({ batchSize, accumulate }: Training): number => batchSize * accumulate
