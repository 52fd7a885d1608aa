import { adapter } from '../../src/browser.ts'

/** Executors that a visitor may choose, and whether each can run here. */
export interface Choice {
  readonly name: EngineName
  readonly library: string
  readonly device: string
}
export const engineNames = ['onnx:wasm', 'onnx:webgpu', 'tfjs:wasm', 'tfjs:webgpu'] as const
export type EngineName = (typeof engineNames)[number]
type Device = 'wasm' | 'webgpu'

export interface Fitness {
  readonly usable: boolean
  /** What it runs on, or why it cannot. */
  readonly what: string
}

const cores = navigator.hardwareConcurrency
const onCpu = async (): Promise<Fitness> =>
  typeof WebAssembly === 'object'
    ? { usable: true, what: crossOriginIsolated ? `${cores} threads` : 'one thread: this page is not isolated' }
    : { usable: false, what: 'this browser has no WebAssembly' }
const onGpu = async (): Promise<Fitness> => {
  const { usable, what, hardware } = await adapter()
  return { usable, what: usable && !hardware ? `${what}, a software GPU` : what }
}

const libraries = { onnx: 'ONNX Runtime', tfjs: 'TensorFlow.js' } as const
const devices: { readonly [D in Device]: { readonly title: string; readonly look: () => Promise<Fitness> } } = {
  wasm: { title: 'WebAssembly', look: onCpu },
  webgpu: { title: 'WebGPU', look: onGpu },
}
const choices: { readonly [N in EngineName]: { readonly library: keyof typeof libraries; readonly device: Device } } = {
  'onnx:wasm': { library: 'onnx', device: 'wasm' },
  'onnx:webgpu': { library: 'onnx', device: 'webgpu' },
  'tfjs:wasm': { library: 'tfjs', device: 'wasm' },
  'tfjs:webgpu': { library: 'tfjs', device: 'webgpu' },
}

export const describeChoice = (name: EngineName): Choice => {
  const { library, device } = choices[name]
  return { name, library: libraries[library], device: devices[device].title }
}
export const look = (name: EngineName): Promise<Fitness> => devices[choices[name].device].look()
export const isEngineName = (name: string | null): name is EngineName => engineNames.some((n) => n === name)
