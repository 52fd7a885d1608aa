/** Values by key, and who waits for them: what the first of several processes keeps for all. */

/** Told a value, or that none has come in time. */
export type Answer = (value: string | undefined) => void
export interface Store {
  /** False: there are too many. A value that is there is replaced. */
  readonly put: (key: string, value: string, reads?: number) => boolean
  /** Answers at once, when the value comes, or after so long (ms). Returns what takes the question back. */
  readonly get: (key: string, within: number | undefined, answer: Answer) => () => void
}

interface Entry {
  readonly value: string
  reads: number
}

/** Values that can be there at a time. */
const most = 2 ** 16

export const store = (): Store => {
  const entries = new Map<string, Entry>()
  const waiting = new Map<string, Set<Answer>>()
  const taken = (key: string): string | undefined => {
    const entry = entries.get(key)
    if (entry === undefined) return undefined
    entry.reads--
    if (entry.reads <= 0) entries.delete(key)
    return entry.value
  }
  return {
    put: (key, value, reads = Number.POSITIVE_INFINITY) => {
      if (entries.size >= most && !entries.has(key)) return false
      entries.set(key, { value, reads })
      for (const answer of [...(waiting.get(key) ?? [])]) {
        const now = taken(key)
        if (now !== undefined) answer(now)
      }
      return true
    },
    get: (key, within, answer) => {
      const now = taken(key)
      if (now !== undefined || within === 0) {
        answer(now)
        return () => {}
      }
      const all = waiting.get(key) ?? new Set()
      waiting.set(key, all)
      const end = (): void => {
        clearTimeout(timer)
        all.delete(told)
        if (all.size === 0 && waiting.get(key) === all) waiting.delete(key)
      }
      const told: Answer = (value) => {
        end()
        answer(value)
      }
      const timer = within === undefined ? undefined : setTimeout(() => told(undefined), within)
      all.add(told)
      return end
    },
  }
}
