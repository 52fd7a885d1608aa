import { parameterTolerances } from '../formula.ts'
import { area } from '../plan.ts'
import { klLoop, vqLoop } from './autoencoder-loop.ts'
import { latentDiffusionLoop } from './latent-diffusion-loop.ts'
import { optimizers } from './optimizers.ts'
import { rates } from './rates.ts'

const loops = /ddpm\.py|autoencoder\.py/

/**
 * Gradients of size 1 cancel in a moment, which may come near 0: float32 then leaves this much, a quarter of its step at 1.
 */
const cancellation = 2 ** -25

export const training = area(
  {
    ...optimizers,
    'lr_scheduler.py': rates,
    'ddpm.py LatentDiffusion.p_losses': latentDiffusionLoop,
    'autoencoder.py AutoencoderKL.training_step': klLoop,
    'autoencoder.py VQModel.training_step': vqLoop,
  },
  [
    ...parameterTolerances,
    { tensor: /./, measure: 'elementwise', limit: 1e-11, subject: /lr_scheduler/ },
    { tensor: /^out\.lr$/, measure: 'elementwise', limit: 1e-11 },
    { tensor: /num_updates$|\.step$/, measure: 'exact', limit: 0 },
    { tensor: /indices$|num_batches_tracked$/, measure: 'exact', limit: 0, subject: loops },
    { tensor: /\.(params|ema)$/, measure: 'rows', limit: 1e-4, subject: loops },
    { tensor: /./, measure: 'scaled', limit: 1e-4, subject: loops },
    { tensor: /exp_avg$|momentum_buffer$/, measure: 'scaled', limit: 2e-6, room: cancellation },
    { tensor: /./, measure: 'scaled', limit: 2e-6 },
  ],
)
