import { type Errors, failure } from '../../error.ts'
import type { Task } from '../../prelude.ts'
import { gpuFacts, showGpuFacts } from '../gpu.ts'

const noAdapter = /Failed to get a WebGPU adapter\.?:?\s*(.*)/

const drivers =
  process.platform === 'linux'
    ? "the GPU's Vulkan driver and libvulkan1"
    : process.platform === 'win32'
      ? "the GPU's driver, for Direct3D 12"
      : "a GPU of Metal's"
const software =
  'for tests a software GPU does, on Debian: apt-get install chromium libvulkan1, and set VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json'

/** What to say where the runtime finds no WebGPU adapter: what there is, and what to install. Other reasons pass through. */
export const explained =
  (reason: string, otherwise: Errors): Task<Errors> =>
  async () => {
    const said = noAdapter.exec(reason)
    if (said === null) return otherwise
    const found = showGpuFacts(await gpuFacts())
    return [
      failure(
        'compile',
        'onnx:webgpu',
        'a GPU that WebGPU can use',
        `${(said[1] ?? '').trim().toLowerCase() || 'no adapter'} (${found})`,
        `install ${drivers}, or take onnx:cpu${process.platform === 'linux' ? `; ${software}` : ''}`,
      ),
    ]
  }
