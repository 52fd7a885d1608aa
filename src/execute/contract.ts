import type { Effect } from '../error.ts'
import { feedTypes, type Graph, outputTypes } from '../graph/graph.ts'
import { E, pipe, TE } from '../prelude.ts'
import { checkCarry, checkNames, fedAhead, omit, only } from './carry.ts'
import { checkGraph } from './check-graph.ts'
import type { CompileOptions, Executable, Executor, Stepper, Values } from './executor.ts'
import { checkFeeds, type Types } from './feeds.ts'
import { checkFiles, checkFiniteFiles } from './files.ts'
import { defer, exclusive, lifetime, once } from './lifetime.ts'

type Check = (types: Types, values: Values) => ReturnType<typeof checkFeeds>

const stepper = (at: string, engine: Stepper, fed: Types, check: Check, atEnd: () => void): Stepper => {
  const { during, end } = lifetime(at, 'stepper', () => {
    engine.dispose()
    atEnd()
  })
  const exclusively = exclusive(at)
  return {
    step: (feeds) => during(exclusively(defer(() => pipe(check(fed, feeds), TE.fromEither, TE.chain(engine.step))))),
    ahead: (feeds) =>
      during(
        defer(() =>
          pipe(
            checkNames(Object.keys(feeds), fed),
            E.chain((types) => check(types, feeds)),
            TE.fromEither,
            TE.chain(fedAhead(engine)),
            TE.map((step) => {
              const rest = omit(fed, Object.keys(feeds))
              const taken = once(at)
              return (others) =>
                during(
                  exclusively(
                    defer(() =>
                      pipe(
                        check(rest, others),
                        TE.fromEither,
                        TE.chain((left) => taken(step(left))),
                      ),
                    ),
                  ),
                )
            }),
          ),
        ),
      ),
    read: during(exclusively(engine.read)),
    dispose: end,
  }
}

const executable = (at: string, engine: Executable, graph: Graph, fed: Types, check: Check): Executable => {
  const running = new Set<Stepper>()
  const { during, use, end } = lifetime(at, 'executable', engine.dispose)
  const kept = (made: Stepper, initial: Values): Stepper => {
    const leave = use()
    const s = stepper(at, made, omit(fed, Object.keys(initial)), check, () => {
      running.delete(s)
      leave()
    })
    running.add(s)
    return s
  }
  return {
    run: (feeds) => during(defer(() => pipe(check(fed, feeds), TE.fromEither, TE.chain(engine.run)))),
    start: (carry, initial) =>
      during(
        pipe(
          checkCarry(carry, outputTypes(graph), fed),
          E.bindTo('carried'),
          E.bind('given', () => checkNames(Object.keys(initial), fed)),
          E.chain((types) => check({ ...types.given, ...types.carried }, initial)),
          TE.fromEither,
          TE.chain(() => engine.start(carry, initial)),
          TE.map((made) => kept(made, initial)),
          TE.chain((s) =>
            pipe(
              during(TE.right(s)),
              TE.mapLeft((errors) => {
                s.dispose()
                return errors
              }),
            ),
          ),
        ),
      ),
    dispose: () => {
      end()
      for (const s of running) s.dispose()
    },
  }
}

/** What is told of a graph whose types are true. */
const believed = <A>(graph: Graph, tell: () => Effect<A>): Effect<A> => pipe(checkGraph(graph), TE.chain(tell))

/**
 * An engine as an executor. What every executor promises beside its numbers is here, once: graphs whose types are true;
 * constants, feeds and state that are those expected, finite where that is asked for; a carry that fits; one step at a
 * time; nothing after `dispose`, which ends the steppers too and reaches the engine once. So an engine is an `Executor`
 * that believes what it is given.
 */
export const contracted = ({ name, compile, explain, describe }: Executor): Executor => ({
  name,
  ...(explain === undefined ? {} : { explain: (graph, options) => believed(graph, () => explain(graph, options)) }),
  ...(describe === undefined ? {} : { describe: (graph, options) => believed(graph, () => describe(graph, options)) }),
  compile: (graph, options: CompileOptions) => {
    const { constants = {}, files = {}, checkFinite: finite = false } = options
    const baked = [...Object.keys(constants), ...Object.keys(files)]
    const types = feedTypes(graph)
    return pipe(
      checkGraph(graph),
      TE.chainEitherK(() => checkFeeds(only(types, Object.keys(constants)), constants, { tag: 'compile', finite })),
      TE.chainEitherK(() => checkFiles(types, files, constants)),
      TE.chainFirst(() => (finite ? checkFiniteFiles(types, files) : TE.right(undefined))),
      TE.chain(() => compile(graph, options)),
      TE.map((engine) =>
        executable(name, engine, graph, omit(types, baked), (expected, values) =>
          checkFeeds(expected, values, { tag: 'run', finite }),
        ),
      ),
    )
  },
})
