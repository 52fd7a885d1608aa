import { area } from '../../plan.ts'
import { ancestralSampling, ddimSampler, plmsSampler } from './compvis.ts'
import { diffusersAdapters } from './diffusers.ts'
import { karrasAdapters } from './karras.ts'

export const sampler = area(
  {
    'ddim.py DDIMSampler': ddimSampler,
    'ddpm.py LatentDiffusion.p_sample_loop': ancestralSampling,
    'plms.py PLMSSampler': plmsSampler,
    ...diffusersAdapters,
    ...karrasAdapters,
  },
  [
    { tensor: /ddim_timesteps$|calls$/, measure: 'exact', limit: 0 },
    // DPM2's levels between two others are interpolated there in single precision.
    { tensor: /timesteps(64)?$/, subject: /KDPM2/, measure: 'elementwise', limit: 3e-5, room: 3e-5 },
    // Some are fractional; whole ones differ by more than this where they differ.
    { tensor: /timesteps(64)?$/, measure: 'elementwise', limit: 1e-6, room: 1e-6 },
    { tensor: /ddim_sigmas$/, measure: 'elementwise', limit: 1e-11 },
    { tensor: /ddim_alphas(_prev)?$/, measure: 'elementwise', limit: 2e-7 },
    // A product of a thousand factors in float32, in whichever order a library takes them.
    { tensor: /alphas_cumprod$/, measure: 'elementwise', limit: 1e-6 },
    // In double precision, on the reference executor, whichever is under test.
    // k-diffusion's DPM-fast takes the logarithms of its ends in single precision all the same.
    { tensor: /64$/, subject: /sample_dpm_fast$/, measure: 'scaled', limit: 1e-6 },
    { tensor: /64$/, measure: 'scaled', limit: 1e-9 },
    { tensor: /final$/, measure: 'scaled', limit: 5e-5 },
    { tensor: /./, measure: 'scaled', limit: 1e-5 },
  ],
)
