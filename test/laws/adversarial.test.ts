import { adversarialLaws } from '../../src/laws/adversarial.ts'
import { firstStageLaws } from '../../src/laws/first-stage.ts'
import { holdAll } from './held.ts'

holdAll(adversarialLaws)
holdAll(firstStageLaws)
