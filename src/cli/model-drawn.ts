import { glance, treeOf } from './model-blocks.ts'
import { anchorIn, modelHtml } from './model-html.ts'
import { layersOf } from './model-layers.ts'
import { mermaidOf } from './model-mermaid.ts'
import type { Sections } from './model-sections.ts'
import { drawing, svgFile } from './model-svg.ts'

export type Picture = 'mermaid' | 'svg' | 'html'

/** The networks of a model as the text of a picture. Pure. */
export const drawn = (title: string, { sections, missing }: Sections, as: Picture): string => {
  const all = sections.map(({ section, graph }) => {
    const layers = layersOf(graph)
    return { section, layers, glance: glance(layers) }
  })
  const texts: { readonly [P in Picture]: () => string } = {
    mermaid: () => mermaidOf(all),
    svg: () =>
      svgFile(
        title,
        all.map(({ section, glance: seen }) => drawing(section, seen)),
      ),
    html: () =>
      modelHtml(
        title,
        all.map(({ section, layers, glance: seen }) => ({
          section,
          tree: treeOf(layers),
          drawing: drawing('', seen, anchorIn(section)),
        })),
        missing,
      ),
  }
  return texts[as]()
}
