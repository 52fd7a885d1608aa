/**
 * Names of Python code by which a pickle would run programs or code of its own choice, if it were loaded by Python. Nothing is
 * loaded here, and such a name would be as inert as others; but nobody's training writes it, so that a file which has it is refused.
 */

/** Modules of which nothing is harmless. */
const modules: ReadonlySet<string> = new Set([
  ...['os', 'posix', 'nt', 'posixpath', 'ntpath', 'sys', 'subprocess', '_posixsubprocess', 'commands', 'popen2', 'pty'],
  ...['shutil', 'socket', '_socket', 'ssl', 'urllib2', 'httplib', 'ftplib', 'smtplib', 'telnetlib', 'webbrowser'],
  ...['_frozen_importlib', '_imp', 'imp', 'pkgutil', 'zipimport', 'runpy', 'code', 'codeop', 'site'],
  ...['pickle', '_pickle', 'cPickle', 'marshal', 'shelve', '_ctypes'],
  ...['pdb', 'bdb', 'cProfile', 'profile', 'trace', 'timeit', 'doctest', 'pydoc'],
  ...['torch.hub', 'torch.utils.cpp_extension'],
])
/** The same with all that is in them. */
const packages: ReadonlySet<string> = new Set([
  ...['importlib', 'ctypes', 'asyncio', 'http', 'urllib', 'requests', 'cffi', 'dill', 'cloudpickle', 'joblib', 'pip'],
  ...['ensurepip', 'venv', 'distutils', 'setuptools', 'lib2to3', 'idlelib', 'torch.package'],
  ...['numpy.testing', 'numpy.f2py', 'numpy.distutils'],
])

const builtins = ['builtins', '__builtin__', '__builtins__']
const ofBuiltins = [
  ...['eval', 'exec', 'execfile', 'compile', 'open', 'file', '__import__', 'input', 'raw_input', 'breakpoint', 'help'],
  ...['globals', 'locals', 'vars', 'setattr', 'delattr', 'apply', 'reload', 'exit', 'quit'],
]
const names: ReadonlySet<string> = new Set([
  ...builtins.flatMap((module) => ofBuiltins.map((name) => `${module} ${name}`)),
  ...['types FunctionType', 'types LambdaType', 'types CodeType', 'new function', 'new code'],
  ...[
    'io open',
    'io open_code',
    'io FileIO',
    '_io open',
    '_io open_code',
    '_io FileIO',
    'codecs open',
    'tempfile mktemp',
  ],
  ...['operator attrgetter', 'operator methodcaller', '_operator attrgetter', '_operator methodcaller'],
  ...['torch load', 'torch.serialization load', 'torch.jit load', 'numpy load', 'numpy fromfile', 'pandas read_pickle'],
  ...['platform popen', 'logging.config listen', 'multiprocessing.util spawnv_passfds'],
])

/** Where a dotted name would lead on from any module or class. */
const ways: ReadonlySet<string> = new Set([
  ...[
    'os',
    'posix',
    'nt',
    'sys',
    'subprocess',
    'importlib',
    'ctypes',
    'shutil',
    'socket',
    'runpy',
    'pickle',
    'marshal',
  ],
  ...[...builtins, 'system', 'popen', 'eval', 'exec', '__import__', 'import_module'],
  ...[
    '__globals__',
    '__subclasses__',
    '__code__',
    '__loader__',
    '__spec__',
    '__getattribute__',
    '__reduce_ex__',
    '__dict__',
  ],
])

const outermost = (module: string): readonly string[] => {
  const parts = module.split('.')
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'))
}

/** Of a module and a name in it, which may go on with dots. */
export const isHostile = (module: string, name: string): boolean => {
  const last = module.split('.').at(-1) ?? module
  const parts = name.split('.')
  return (
    modules.has(module) ||
    outermost(module).some((part) => packages.has(part)) ||
    names.has(`${module} ${name}`) ||
    names.has(`${last} ${name}`) ||
    (parts.length > 1 && parts.some((part) => ways.has(part)))
  )
}
