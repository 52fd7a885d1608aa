import { add, buffer, matmul, mean, relu, reshape, type Scope, type Tensor } from '../declare/index.ts'
import { size } from '../graph/types.ts'
import { flow, pipe } from '../prelude.ts'
import { inceptionV3 } from './inception.ts'
import { type Layer, maxPool2 } from './layers.ts'
import { scalingLayer } from './lpips.ts'
import { resize } from './resize.ts'
import { torchvisionNames, vgg16 } from './vgg.ts'

/** Networks whose activations pictures are compared by, told apart by the names of their published weights. */
export interface FeatureNetwork {
  readonly name: string
  /** Pictures [N, 3, H, W] in [-1, 1] to features [N, D]. */
  readonly features: Layer
  /** What a weight is called in the published file. */
  readonly published: (weight: string) => string
  /** One that no other network's file has. */
  readonly mark: string
}

/** x[N, ...] -> [N, size] */
export const flat: Layer = (x) => pipe(x, reshape(x.shape[0] ?? 0, size(x.shape.slice(1))))

const loaded = { kind: 'loaded' } as const
/** x W^T + b of weights that are in a file. */
const frozenLinear =
  (s: Scope, out: number): Layer =>
  (x) =>
    pipe(
      x,
      matmul(buffer(s, 'weight', [out, x.shape[1] ?? 0], loaded), { transposeB: true }),
      add(buffer(s, 'bias', [out], loaded)),
    )

/** What VGG16 was trained on. */
const side = 224
const relu5: Layer = (x) =>
  pipe(x, resize('bilinear', side, side), scalingLayer('scaling_layer'), vgg16('net')).at(-1) ?? x
const vggNames = torchvisionNames('net')
const vggName = (weight: string): string => vggNames[weight] ?? weight

/** The second layer of 4096, as improved precision and recall takes it (Kynkaanniemi et al. 2019, section 2). */
const vggFc2: FeatureNetwork = {
  name: 'vgg16-fc2',
  features: (x: Tensor) =>
    pipe(relu5(x), maxPool2, flat, frozenLinear('classifier.0', 4096), relu, frozenLinear('classifier.3', 4096), relu),
  published: vggName,
  mark: 'classifier.3.weight',
}
/** The last convolution's means over positions, of files without the layers behind it. */
const vggRelu5: FeatureNetwork = {
  name: 'vgg16-relu5_3',
  features: (x) => pipe(relu5(x), mean({ axes: [2, 3] })),
  published: vggName,
  mark: 'features.28.weight',
}

/** As pytorch-fid has it: pictures are resized without antialiasing, and not scaled further. */
const inception: FeatureNetwork = {
  name: 'inception-v3',
  features: flow(resize('bilinear', 299, 299), inceptionV3),
  published: (weight) => weight,
  mark: 'Mixed_7c.branch_pool.conv.weight',
}

/** The first whose mark a file has is meant. */
export const featureNetworks: readonly FeatureNetwork[] = [inception, vggFc2, vggRelu5]
