/** A layer of one's own, what a mistake in it reads like, and what lint finds: `node dist/examples/own-layer.js` */
import {
  at,
  channels,
  E,
  float,
  freeze,
  input,
  lint,
  mean,
  mul,
  nn,
  parameters,
  pipe,
  type Scope,
  showErrors,
  showType,
  sigmoid,
  silu,
  square,
  stopGradient,
  type Tensor,
  unsqueeze,
} from 'latentgraph'

/** Squeeze and excitation (Hu et al. 2018): channels are weighed by what the whole picture says. */
const squeezeExcite =
  (s: Scope, gate: nn.Layer): nn.Layer =>
  (x) => {
    const all = channels(x)
    const squeeze = nn.linear(at(s, 'squeeze'), { out: all / 16 })
    const excite = nn.linear(at(s, 'excite'), { out: all })
    return pipe(x, mul(pipe(x, mean({ axes: [2, 3] }), squeeze, silu, excite, sigmoid, gate)))
  }

const block = (s: Scope, gate: nn.Layer) => {
  const conv = nn.conv2d(at(s, 'conv'), { out: 64, kernel: 3, padding: 1 })
  return (x: Tensor) => pipe(x, nn.groupNorm(at(s, 'norm')), conv, squeezeExcite(at(s, 'se'), gate))
}

const show = (title: string, gate: nn.Layer): void => {
  console.log(`\n# ${title}`)
  const pictures = input('pictures', float(8, 32, 16, 16))
  const frozen = freeze({ loss: pipe(pictures, block('down.0', gate), square, mean()) })
  if (E.isLeft(frozen)) {
    console.log(showErrors(frozen.left))
    return
  }
  const found = parameters(frozen.right)
  for (const { name, shape } of found) console.log(name.padEnd(26), showType(float(...shape)))
  const optimizers = { adam: found.map(({ name }) => name) }
  for (const finding of lint(frozen.right, { losses: ['loss'], optimizers })) console.log(showErrors([finding]))
}

show('as it should be', unsqueeze(2, 3))
show('the weights of the channels do not fit beside the picture', (weights) => weights)
show('a gate that nothing can learn', (weights) => pipe(weights, stopGradient, unsqueeze(2, 3)))
