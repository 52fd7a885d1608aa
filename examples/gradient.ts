/**
 * Declare a function, differentiate it, differentiate that, and look at the graph that computes all three.
 *
 *     npm run build && node dist/examples/gradient.js
 */
import {
  E,
  effect,
  exp,
  float,
  floats,
  freeze,
  grad,
  input,
  mul,
  neg,
  optimise,
  pipe,
  printGraph,
  reference,
  showErrors,
  sum,
  TE,
} from 'latentgraph'

/** Nothing runs here: these are expressions, and their gradients are expressions too. */
const x = input('x', float(3))
const bell = pipe(x, mul(x), mul(0.5), neg, exp)
const [slope = x] = grad(pipe(bell, sum()), [x])
const [curvature = x] = grad(pipe(slope, sum()), [x])

const program = effect(async (run) => {
  const graph = await run(TE.fromEither(pipe(freeze({ bell, slope, curvature }), E.map(optimise))))
  console.log(printGraph(graph))
  const executable = await run(reference.compile(graph, { mode: 'training' }))
  const values = await run(executable.run({ x: floats([3], Float64Array.of(0, 1, 2)) }))
  for (const [name, { data }] of Object.entries(values))
    console.log(name.padEnd(10), Array.from(data, (v) => v.toFixed(4).padStart(8)).join(''))
  executable.dispose()
})

const result = await program()
if (E.isLeft(result)) console.error(showErrors(result.left))
