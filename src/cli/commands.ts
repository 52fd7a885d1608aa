import type { Register } from './command.ts'

/** A command as the help of all of them shows it. The rest of it is loaded where it is asked for, so that each starts soon. */
export interface Summary {
  readonly name: string
  readonly description: string
  readonly load: () => Promise<Register>
}

export const commands: readonly Summary[] = [
  {
    name: 'start',
    description: 'the main job: train on 1,536 emoji, ten to seventeen minutes on two cores, and look at the result',
    load: async () => (await import('./start.ts')).start,
  },
  {
    name: 'new',
    description:
      'a folder for a model of your own: looks at the pictures, measures this machine, proposes an experiment',
    load: async () => (await import('./new.ts')).create,
  },
  {
    name: 'check',
    description:
      'check an experiment, a published model or a graph without running it: blocks, shapes, cost, lint, plan',
    load: async () => (await import('./check.ts')).check,
  },
  {
    name: 'graph',
    description: 'a model as a picture: its blocks, who reads whom, shapes, parameters, operations',
    load: async () => (await import('./graph.ts')).graph,
  },
  {
    name: 'train',
    description: 'train an experiment, draw samples, write a report',
    load: async () => (await import('./train.ts')).train,
  },
  {
    name: 'sample',
    description: 'draw pictures from a trained run, or from a published model that was imported',
    load: async () => (await import('./sample.ts')).sample,
  },
  {
    name: 'serve',
    description:
      'a page to draw with, on this machine: of runs, also ones that still train, or of the models that come along',
    load: async () => (await import('./serve.ts')).serve,
  },
  {
    name: 'evaluate',
    description:
      'measure a trained run: reconstructions, distances of samples to the pictures it was trained on, copies',
    load: async () => (await import('./evaluate.ts')).evaluate,
  },
  {
    name: 'import',
    description: 'make a run of a published model, or of a checkpoint of an experiment',
    load: async () => (await import('./import.ts')).importCheckpoint,
  },
  {
    name: 'export',
    description:
      'what of a run is needed to draw: as a run of its own, as a page, or for the original code or diffusers',
    load: async () => (await import('./export.ts')).exportRun,
  },
  {
    name: 'doctor',
    description: 'what can run graphs on this machine, and what auto picks',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'setup',
    description: 'make a library known that an executor needs',
    load: async () => (await import('./setup.ts')).setup,
  },
  {
    name: 'schema',
    description: 'print the JSON Schema of experiments, for editors',
    load: async () => (await import('./schema.ts')).schema,
  },
  {
    name: 'list',
    description: 'the runs in a folder, newest first: state, steps, last losses, when',
    load: async () => (await import('./list.ts')).list,
  },
  {
    name: 'compare',
    description: 'runs beside each other: where experiments differ, curves over each other, samples of one seed',
    load: async () => (await import('./compare.ts')).compare,
  },
  {
    name: 'explain',
    description: "what a field of the experiment's file is: meaning, values, default, example",
    load: async () => (await import('./explain-field.ts')).explain,
  },
  {
    name: 'verify',
    description:
      'hold the parts of an experiment to the laws of the field: equation, cases, worst error, counterexample',
    load: async () => (await import('./verify.ts')).verify,
  },
  {
    name: 'conformance',
    description: 'compare with what the reference implementations computed',
    load: async () => (await import('./conformance.ts')).conformance,
  },
]
