import { add, div, minimum, mul, scalar, sqrt, squaredNorm, sumAll, type Tensor } from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { flat, shaped, type Tensors } from './optimizer.ts'

/**
 * Scales all gradients by min(1, maxNorm / (norm + 1e-6)), with the Euclidean norm of them all, which is returned as it was
 * before: `torch.nn.utils.clip_grad_norm_`.
 */
export const clipByGlobalNorm =
  (maxNorm: number) =>
  <K extends string>(gradients: Tensors<K>): { readonly gradients: Tensors<K>; readonly norm: Tensor } => {
    const norm = sqrt(sumAll(...Object.values<Tensor>(gradients).map(squaredNorm)))
    const factor = pipe(scalar(maxNorm), div(pipe(norm, add(1e-6))), minimum(1))
    return {
      gradients: pipe(
        gradients,
        RR.map((g: Tensor) => pipe(flat(g), mul(factor), shaped(g.shape))),
      ),
      norm,
    }
  }
