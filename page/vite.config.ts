import { defineConfig } from 'vite'

/** One build for both: with a server, and as flat files that `latentgraph export --web` puts into a folder. */
export default defineConfig({
  root: import.meta.dirname,
  // Wherever the page is put.
  base: './',
  worker: { format: 'es' },
  // The page's policy allows files of its own alone: nothing in line.
  build: {
    outDir: '../dist/page',
    assetsDir: '',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
    chunkSizeWarningLimit: 1000,
  },
})
