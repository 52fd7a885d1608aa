import { defineConfig } from 'vite'

/** Isolated pages may share memory, which WebAssembly's threads need. */
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }

export default defineConfig({
  root: import.meta.dirname,
  // Wherever the page is put.
  base: './',
  preview: { headers },
  // TensorFlow.js hands its threads a function as text, whose look for a name around it compression would take for granted.
  worker: { format: 'es', rolldownOptions: { output: { minify: { compress: false } } } },
  build: { target: 'esnext', emptyOutDir: true, chunkSizeWarningLimit: 2000 },
})
