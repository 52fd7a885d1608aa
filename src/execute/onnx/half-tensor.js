// @ts-check

/**
 * Where the engine has Float16Array (Node 24) ONNX Runtime's package makes one of the bits of half precision, which its native code takes
 * for empty ("not enough space: expected 6, got 0" in 1.30): so the tensor shows the bits.
 * @param {import('onnxruntime-node').Tensor} tensor
 */
export const showingBits = (tensor) => {
  if (tensor.type !== 'float16' || tensor.location !== 'cpu') return tensor
  const { data } = tensor
  return data instanceof Uint16Array || !ArrayBuffer.isView(data)
    ? tensor
    : Object.defineProperty(tensor, 'data', {
        value: new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2),
      })
}
