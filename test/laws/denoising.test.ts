import { denoisingLaws } from '../../src/laws/denoising.ts'
import { holdAll } from './held.ts'

holdAll(denoisingLaws)
