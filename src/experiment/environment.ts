import { executorNames } from '../execute/names.ts'
import { about, integer, nonEmpty, text, withDefault, word } from '../schema.ts'
import { dataSource } from './data-source.ts'

/** What every document says, whatever it trains. */

export const name = about(
  'What the run is called: its folder is runs/NAME where --out says no other.',
  nonEmpty,
  'my-pictures',
)
export const data = about('The pictures that are trained on.', dataSource, {
  kind: 'folder',
  path: '../my-pictures',
  size: 32,
})
export const environment = {
  $schema: about(
    "Names the document's JSON Schema, by which editors complete and check it; nothing reads it here.",
    withDefault(text, ''),
    './experiment.schema.json',
  ),
  seed: about(
    'What all chance begins with: weights, noise, the order of pictures. The same seed gives the same run, to the bit on the same machine.',
    withDefault(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), 0),
    7,
  ),
  executor: about(
    'What computes; "auto" takes the fastest of those on this machine that run here without more ado. `latentgraph doctor` lists them.',
    withDefault(word(['auto', ...executorNames]), 'auto'),
  ),
}
