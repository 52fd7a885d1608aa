import { about, describedRecord, list, nonEmpty, word } from '../schema.ts'

/** What of an experiment a program may give as a function. */
export const ownParts = ['data', 'unet', 'loss', 'sampler'] as const

export const own = about(
  'Which parts are functions of the program that defined the experiment: it alone can train it or draw from it. Written by defineExperiment.',
  describedRecord({
    name: about('What the program calls the experiment.', nonEmpty, 'my-experiment'),
    version: about('That of the functions: a run goes on with the same alone.', nonEmpty, '1'),
    functions: about(
      'The parts that are functions; what stands for them in the file is not read.',
      list(word(ownParts), { min: 1, max: ownParts.length }),
      ['unet'],
    ),
  }),
)
