import type { Effect } from '../error.ts'
import type { LoadedRun } from '../run/loaded.ts'

/** What the server needs of a run: what it says of itself, drawing, and what its first stage makes of pictures. */
export type Drawable = Pick<LoadedRun, 'describe' | 'sample' | 'reconstruct' | 'dispose'>

/** Opens the folder of a run. */
export type Load = (folder: string) => Effect<Drawable>
