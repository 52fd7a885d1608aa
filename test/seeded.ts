import fc from 'fast-check'
import { seed } from './arbitrary/check.ts'

/** Properties are the same in every run, those that are asserted by fast-check alone too. */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed })
