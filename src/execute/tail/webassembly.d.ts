/** What is used of WebAssembly's interface, as the `dom` library declares it: neither `es2023` nor Node's types have it. */
declare namespace WebAssembly {
  interface Memory {
    readonly buffer: ArrayBuffer
  }
  type Module = object
  interface Instance {
    readonly exports: Readonly<Record<string, unknown>>
  }
  const Memory: new (descriptor: {
    readonly initial: number
    readonly maximum?: number
    readonly shared?: boolean
  }) => Memory
  const Instance: new (
    module: Module,
    imports: Readonly<Record<string, Readonly<Record<string, Memory | ((...numbers: never[]) => number)>>>>,
  ) => Instance
  const compile: (bytes: Uint8Array) => Promise<Module>
}
