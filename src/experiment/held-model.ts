import { about, nonEmpty } from '../schema.ts'

/** The folder of the model beside which something is trained. */
export const held = about(
  'The folder of the run whose weights stay as they are, named from the working folder; what `import` made of a published model is one.',
  nonEmpty,
  'runs/sd15',
)
