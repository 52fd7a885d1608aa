/** Whether an adapter that describes itself so has the processor play the GPU: SwiftShader, Mesa's llvmpipe, Windows' WARP. */
export const isSoftwareAdapter = (description: string): boolean =>
  /swiftshader|llvmpipe|lavapipe|software|basic render|warp\b/i.test(description)
