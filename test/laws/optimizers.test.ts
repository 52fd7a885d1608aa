import { optimizerLaws } from '../../src/laws/optimizers.ts'
import { holdAll } from './held.ts'

holdAll(optimizerLaws)
