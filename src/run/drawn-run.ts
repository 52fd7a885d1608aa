import type { TrainedRun } from './trained-run.ts'

/** What of a run is drawn with. */
export type DrawnRun = Pick<
  TrainedRun,
  'experiment' | 'model' | 'classes' | 'tokens' | 'scale' | 'firstStage' | 'diffusion' | 'average'
>
