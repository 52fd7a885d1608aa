/** Functions of `node:util` that Node 23 took away and tfjs-node 4.22 still calls. */
const departed = {
  isNullOrUndefined: (x: unknown): boolean => x === null || x === undefined,
  isArray: (x: unknown): boolean => Array.isArray(x),
} as const

/** Gives a module object back the functions that it lacks; what it has stays. */
export const mend = (module: object): void => {
  for (const [name, value] of Object.entries(departed))
    if (!(name in module)) Object.defineProperty(module, name, { value, configurable: true, writable: true })
}
