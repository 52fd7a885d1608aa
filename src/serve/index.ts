import { type Effect, effect, failure } from '../error.ts'
import { TE } from '../prelude.ts'
import type { Load } from './drawable.ts'
import { inUrl } from './guard.ts'
import { type Model, type Offered, openModel } from './models.ts'
import { serverOf } from './server.ts'
import { readSite } from './site.ts'

/** Runs, served to a page. */

export type { Drawable, Load } from './drawable.ts'
export { isLoopback } from './guard.ts'

export interface ServeOptions {
  readonly runs: readonly Offered[]
  readonly load: Load
  /** The folder of the built page. */
  readonly page: string
  readonly host: string
  /** Where it is taken, and not `exactly` this one is wanted, one of the next; 0 any that is free. */
  readonly port: number
  readonly exactly: boolean
  readonly version: string
  readonly say: (line: string) => void
}
export interface Served {
  readonly url: string
  readonly close: () => Promise<void>
}

/** How many ports are tried. */
const tried = 20

/** Names of models in URLs: the last of their folder, and a number where that is another's. */
const idsOf = (runs: readonly string[]): readonly string[] => {
  const given: string[] = []
  for (const run of runs) {
    const base =
      (
        run
          .replace(/[\\/]+$/, '')
          .split(/[\\/]/)
          .at(-1) ?? ''
      ).replace(/[^A-Za-z0-9_-]/g, '-') || 'run'
    const same = given.filter((id) => id === base || id.startsWith(`${base}.`)).length
    given.push(same === 0 ? base : `${base}.${same + 1}`)
  }
  return given
}

/** Opens runs and serves them until it is closed. Errors: those of a run that cannot be opened; `file`, no page; `usage`, no port. */
export const serve = (options: ServeOptions): Effect<Served> =>
  effect(async (run) => {
    const { runs, load, page, host, port, exactly, version, say } = options
    const site = await run(readSite(page))
    const ids = idsOf(runs.map((offered) => offered.run))
    const models: Model[] = []
    for (const [i, offered] of runs.entries())
      models.push(await run(openModel({ ...offered, id: ids[i] ?? `${i}` }, load)))
    const app = serverOf({ models, site, version, listens: host, say })
    const listen = async (at: number): Promise<void> => {
      try {
        await app.listen({ host, port: at })
      } catch (reason) {
        const code = reason instanceof Error && 'code' in reason ? reason.code : undefined
        if (code === 'EADDRINUSE' && !exactly && at < port + tried) return listen(at + 1)
        const got = code === 'EADDRINUSE' ? `${at}, which another program has` : String(reason)
        return run(TE.left([failure('usage', '--port', `a port of ${host} that is free`, got)]))
      }
    }
    await listen(port)
    const address = app.server.address()
    const bound = typeof address === 'object' && address !== null ? address.port : port
    return {
      url: `http://${inUrl(host)}:${bound}/`,
      close: async () => {
        await app.close()
        for (const model of models) await model.dispose()
      },
    }
  })
