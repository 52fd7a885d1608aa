import { execFile } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { promisify } from 'node:util'

/** `about.js PYTHON [JAX]`: the machine, its card, and which versions of what. */

const [, , ...pythons] = process.argv
const said = async (program: string, ...args: readonly string[]): Promise<string> =>
  promisify(execFile)(program, [...args], { timeout: 15_000 }).then(
    ({ stdout }) => stdout.trim(),
    () => 'not there',
  )
const versions = `
from importlib import metadata as m
import sys
print('Python', sys.version.split()[0])
for name in ('torch', 'jax', 'jaxlib', 'jax-cuda12-pjrt', 'jax-cuda13-pjrt', 'jax-rocm7-pjrt', 'tensorflow', 'tensorflow-cpu', 'triton'):
    try: print(name, m.version(name))
    except m.PackageNotFoundError: pass
`
console.log(
  `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
)
console.log(
  `cards: ${await said('nvidia-smi', '--query-gpu=name,memory.total,driver_version,compute_cap', '--format=csv,noheader')}`,
)
for (const python of new Set(pythons)) console.log(await said(python, '-c', versions))
