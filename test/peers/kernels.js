// The kernels that lowerings use are all registered by tfjs-node; its modules load without its native library.
import '@tensorflow/tfjs-node-gpu/dist/register_all_kernels.js'
import { getKernel } from '@tensorflow/tfjs-core'
import { kernelInputs } from '../../dist/src/execute/tfjs/kernel.js'

const names = Object.keys(kernelInputs)
const missing = names.filter((name) => getKernel(name, 'tensorflow') === undefined)
if (missing.length > 0) {
  console.error(`tfjs-node-gpu lacks ${missing.join(', ')}`)
  process.exit(1)
}
console.log(`tfjs-node-gpu has all ${names.length} kernels`)
