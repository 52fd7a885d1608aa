import { defineConfig } from 'vite'

export default defineConfig({
  root: import.meta.dirname,
  // Wherever the page is put.
  base: './',
  // The page's policy allows files of its own alone: nothing in line.
  build: {
    outDir: '../dist/page',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
  },
})
