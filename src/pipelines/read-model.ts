import type { Pipeline } from './request.ts'

/** A model as it was found in files, which are open as long as it is used. */
export interface ReadModel extends Pipeline {
  /** Folders that it was read with, by the names that the document has for them. */
  readonly folders: Readonly<Record<string, string>>
  /** Arrays of the files that nothing here is made of. */
  readonly leftOver: readonly string[]
  /** What was chosen, for people. */
  readonly remarks: readonly string[]
}
