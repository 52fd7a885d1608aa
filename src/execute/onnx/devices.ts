/** Where ONNX Runtime runs a graph. `wasm` is onnxruntime-web's CPU. */
export type Device = 'cpu' | 'wasm' | 'webgpu'

/** What a graph is written down for: a device of ONNX Runtime, or whoever reads ONNX: standard operators alone. */
export type Lowered = Device | 'portable'

/** What is asked of a device. */
export interface Kernels {
  /** Products with transposed operands. */
  readonly fusedMatMul: boolean
  /** Signs, and integers of 32 bits in Neg and Abs. */
  readonly signs: boolean
  /** The 64-bit indices of ArgMax and ArgMin. */
  readonly arguments: boolean
  /** The exponential good to float32's last places, however large the exponent. */
  readonly preciseExponential: boolean
  /** Sine and cosine good to float32's last places, however large the angle. */
  readonly preciseAngles: boolean
  /** Convolutions that are products of matrices and pad below and right only: ONNX Runtime 1.30 forgets the padding. */
  readonly padsProducts: boolean
  /** Attention that never has all its scores at once. */
  readonly flashAttention: boolean
  /** Numbers of each channel scaled and shifted in one pass. */
  readonly scalesChannels: boolean
  /** x sigmoid(x) as one op. */
  readonly quickGelu: boolean
}
const all: Kernels = {
  fusedMatMul: true,
  signs: true,
  arguments: true,
  preciseAngles: true,
  preciseExponential: true,
  padsProducts: true,
  flashAttention: true,
  scalesChannels: true,
  quickGelu: true,
}

export const kernels: { readonly [D in Lowered]: Kernels } = {
  cpu: all,
  wasm: { ...all, flashAttention: false },
  portable: { ...all, fusedMatMul: false, padsProducts: false, flashAttention: false, quickGelu: false },
  webgpu: {
    fusedMatMul: false,
    signs: false,
    arguments: false,
    preciseAngles: false,
    preciseExponential: false,
    padsProducts: false,
    flashAttention: false,
    scalesChannels: false,
    quickGelu: true,
  },
}
