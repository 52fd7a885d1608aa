import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allPages, root } from './programs.ts'

/** Links between documents lead somewhere. */

const read = (page: string): string => readFileSync(join(root, page), 'utf8')
const withoutCode = (text: string): string =>
  text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, (code) => (code.includes('](') ? '' : code))
/** As GitHub makes anchors of headings. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-')
const anchors = (page: string): readonly string[] =>
  [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

const dangling = (page: string): readonly string[] =>
  [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^https?:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? page : relative(root, join(root, dirname(page), path))
    if (!existsSync(join(root, file))) return [target]
    return anchor === undefined || !file.endsWith('.md') || anchors(file).includes(anchor) ? [] : [target]
  })

describe('links', () => {
  test.each(allPages)('of %s', (page) => {
    expect(dangling(page)).toEqual([])
  })
  test('every page is reached from the first', () => {
    const reached = new Set(['docs/index.md'])
    for (const page of reached)
      for (const [, path = ''] of read(page).matchAll(/\]\(([^)\s#]+\.md)/g)) {
        const file = relative(root, join(root, dirname(page), path))
        if (existsSync(join(root, file))) reached.add(file)
      }
    const own = allPages.filter((page) => page.startsWith('docs/') && !page.startsWith('docs/decisions/'))
    expect(own.filter((page) => !reached.has(page))).toEqual([])
  })
})
