import { describe, expect, it } from 'vitest'
import { E } from '../../src/prelude.ts'
import { type DataFacts, parseDataFacts, sameData, showDataFacts } from '../../src/train/data-facts.ts'
import { right } from '../arbitrary/run.ts'

const picture = (name: string, content = name, of = name.split('/')[0]) => ({
  name,
  bytes: content.length,
  sha256: content,
  ...(of === undefined ? {} : { class: of }),
})
const facts = (...pictures: readonly ReturnType<typeof picture>[]): DataFacts => ({
  classes: [...new Set(pictures.flatMap((p) => p.class ?? []))].sort(),
  pictures,
})
const was = facts(...['a/1', 'a/2', 'b/1', 'b/2'].map((name) => picture(name)))

describe('what a run’s pictures are', () => {
  it('is read as it was written', () => {
    const odd: DataFacts = {
      classes: ['"', 'ü'],
      pictures: [{ name: 'x\ny', bytes: 0, sha256: 'f', class: '"', caption: ' ' }, picture('z/1')],
    }
    for (const each of [was, odd, facts()])
      expect(right(parseDataFacts(showDataFacts(each), 'data.json'))).toEqual(each)
  })
  it('is the same as itself', () => {
    expect(sameData('p', was, was)).toEqual(E.right(undefined))
  })
  it.each<readonly [string, DataFacts, readonly string[]]>([
    ['a picture more', facts(...was.pictures, picture('b/3')), ['pictures added: b/3']],
    ['a picture less', facts(...was.pictures.slice(1)), ['pictures removed: a/1']],
    ['other content', facts(picture('a/1', 'new', 'a'), ...was.pictures.slice(1)), ['pictures of other content: a/1']],
    ['another name', facts(picture('a/0', 'a/1', 'a'), ...was.pictures.slice(1)), ['pictures renamed: a/1 -> a/0']],
    [
      'two that were exchanged',
      facts(picture('a/1', 'b/1', 'a'), picture('a/2'), picture('b/1', 'a/1', 'b'), picture('b/2')),
      ['pictures of other content: a/1, b/1'],
    ],
    [
      'another class',
      facts(picture('a/1', 'a/1', 'b'), ...was.pictures.slice(1)),
      ['pictures in other classes: a/1 ("a" -> "b")'],
    ],
    [
      'a folder of a class renamed',
      facts(picture('a/1'), picture('a/2'), picture('c/1', 'b/1'), picture('c/2', 'b/2')),
      ['classes renamed: "b" -> "c"'],
    ],
    [
      'a class renamed in the metadata',
      facts(picture('a/1'), picture('a/2'), picture('b/1', 'b/1', 'c'), picture('b/2', 'b/2', 'c')),
      ['classes renamed: "b" -> "c"'],
    ],
    ['a class more', facts(...was.pictures, picture('c/1')), ['classes added: "c"', 'pictures added: c/1']],
    ['a class less', facts(...was.pictures.slice(0, 2)), ['classes removed: "b"', 'pictures removed: b/1, b/2']],
    [
      'many',
      facts(...was.pictures, ...Array.from({ length: 7 }, (_, i) => picture(`b/${i + 3}`))),
      ['pictures added: b/3, b/4, b/5, b/6, b/7 and 2 more'],
    ],
  ])('%s is said by name', (_, is, said) => {
    const ended = sameData('pictures', was, is)
    expect(E.isLeft(ended) ? ended.left.map(({ at, got }) => [at, got]) : []).toEqual(said.map((s) => ['pictures', s]))
  })
})
