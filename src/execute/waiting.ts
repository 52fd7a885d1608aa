/** Begins to tell of work that others wait for; what it gives ends it. */
export type Waiter = (what: string) => () => void

const teller: { begin: Waiter } = { begin: () => () => {} }
/** Who is told of engines' long work, as compiling is, for as long as the process lives: the command line names one. */
export const tellWaits = (begin: Waiter): void => {
  teller.begin = begin
}
/** Work that others wait for. */
export const waitingFor = async <A>(what: string, body: () => Promise<A>): Promise<A> => {
  const end = teller.begin(what)
  try {
    return await body()
  } finally {
    end()
  }
}
