import type { Drawn } from './api.ts'
import { limits } from './limits.ts'

/** What was drawn in this session; the oldest is forgotten where it becomes too much. */

/** The files of a drawing, by name: PNG. */
export type Files = Readonly<Record<string, Uint8Array>>

export interface Gallery {
  /** The newest first. */
  readonly all: () => readonly Drawn[]
  readonly add: (files: Files, about: (id: string, urlOf: (name: string) => string) => Drawn) => Drawn
  readonly file: (id: string, name: string) => Uint8Array | undefined
}

interface Entry {
  readonly drawn: Drawn
  readonly files: ReadonlyMap<string, Uint8Array>
  readonly bytes: number
}

/** Where a file of a drawing is found. */
export type UrlOf = (id: string, name: string, bytes: Uint8Array) => string
const onServer: UrlOf = (id, name) => `/api/gallery/${id}/${name}`

export const galleryOf = (
  { entries: most, bytes: mostBytes }: { readonly entries: number; readonly bytes: number } = limits.gallery,
  urlOf: UrlOf = onServer,
): Gallery => {
  const entries: Entry[] = []
  const state = { made: 0 }
  return {
    all: () => entries.map(({ drawn }) => drawn),
    add: (files, about) => {
      state.made += 1
      const id = String(state.made)
      const drawn = about(id, (name) => urlOf(id, name, files[name] ?? new Uint8Array()))
      const bytes = Object.values(files).reduce((sum, { length }) => sum + length, 0)
      entries.unshift({ drawn, files: new Map(Object.entries(files)), bytes })
      const held = (): number => entries.reduce((sum, entry) => sum + entry.bytes, 0)
      while (entries.length > 1 && (entries.length > most || held() > mostBytes)) entries.pop()
      return drawn
    },
    file: (id, name) => entries.find(({ drawn }) => drawn.id === id)?.files.get(name),
  }
}
