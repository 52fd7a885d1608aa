import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The programs that documents print, as their readers would copy them. */

export const root = join(import.meta.dirname, '../..')

/** Blocks of one page that go on from each other. */
export interface Program {
  /** From the repository's root. */
  readonly page: string
  /** Where its first block begins, from 1. */
  readonly line: number
  /** Each line of its blocks where the page has it, so that what a compiler says of a line is said of the page's; others are empty. */
  readonly text: string
}

interface Block {
  readonly from: number
  readonly lines: readonly string[]
}
const blocksOf = (text: string): readonly Block[] => {
  const lines = text.split('\n')
  return lines.flatMap((line, i) => {
    if (line !== '```ts') return []
    const end = lines.indexOf('```', i)
    return [{ from: i + 1, lines: lines.slice(i + 1, end) }]
  })
}

/** A block that begins with an import begins a program; any other one goes on with the one before. */
export const programsOf = (page: string, text: string): readonly Program[] => {
  const groups: Block[][] = []
  for (const block of blocksOf(text)) {
    const last = groups.at(-1)
    if (last === undefined || block.lines[0]?.startsWith('import ')) groups.push([block])
    else last.push(block)
  }
  return groups.map((blocks) => {
    const lines: string[] = []
    for (const block of blocks)
      lines.push(...Array.from({ length: block.from - lines.length }, () => ''), ...block.lines)
    return { page, line: (blocks[0]?.from ?? 0) + 1, text: `${lines.join('\n')}\n` }
  })
}

/** Packages that build the site. */
const foreign = 'docs/node_modules/'
export const allPages: readonly string[] = [
  ...['README.md', 'CHANGELOG.md'],
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((file) => `docs/${file.replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith('.md') && !file.startsWith(foreign))
    .toSorted(),
]

/** Decisions tell of what was, their fragments are of that time; other code is loaded by a bundler. */
const elsewhere = ['docs/decisions/', 'docs/executors.md']
const pages = allPages.filter((page) => !elsewhere.some((other) => page.startsWith(other)))
export const programs: readonly Program[] = pages.flatMap((page) =>
  programsOf(page, readFileSync(join(root, page), 'utf8')),
)

/** What `console.log(...) // text` says that is printed. */
export const promised = ({ text }: Program): readonly string[] =>
  [...text.matchAll(/^\s*console\.log\(.*\) \/\/ (.+)$/gm)].map(([, printed = '']) => printed)
