import type { Handle } from './api.ts'
import type { Library } from './load.ts'

/** What is made while a plan is drafted, and has to be given back to the library. */
export const ownership = (library: Library) => {
  const owned: (() => void)[] = []
  return {
    own: (
      destroy: 'dnnl_memory_desc_destroy' | 'dnnl_primitive_desc_destroy' | 'dnnl_primitive_attr_destroy',
      handle: Handle,
    ): Handle => {
      owned.push(() => library.call(destroy, handle))
      return handle
    },
    release: () => {
      for (const drop of owned.splice(0).reverse()) drop()
    },
  }
}
export type Ownership = ReturnType<typeof ownership>
