import { emojiCategories } from '../data/emoji-categories.ts'
import { about, describedRecord, describedTagged, integer, list, nonEmpty, withDefault, word } from '../schema.ts'
import { labels } from './label-maps.ts'

/** Where an experiment's pictures come from. */

const picture = {
  size: about(
    'Side in pixels that pictures are cropped to a square of and scaled to; time and memory grow with its square.',
    withDefault(integer({ min: 8, max: 2048 }), 32),
  ),
}
const heldOut = {
  heldOut: about(
    'Pictures that are not trained on, so that reconstructions of them can be measured; the lesser of 100 and a tenth where left out.',
    integer({ min: 1, max: 1e6 }),
    100,
  ),
}
export const dataSource = describedTagged('kind', {
  emoji: about(
    'The pictures of the npm package emoji-datasource-twitter, classes by category, captions by the names that Unicode gives them.',
    describedRecord({}, picture, {
      ...heldOut,
      categories: about(
        'Categories that are kept; all where left out. Fewer of them are learnt better by a small model.',
        list(word(emojiCategories), { min: 1, max: emojiCategories.length }),
        ['Smileys & Emotion', 'Food & Drink'],
      ),
    }),
  ),
  shapes: about(
    'Generated pictures of coloured shapes, with captions that say exactly what is there.',
    describedRecord(
      {},
      {
        ...picture,
        count: about(
          'Pictures that are generated; more hold more of the combinations that captions can say.',
          withDefault(integer({ min: 2, max: 1e6 }), 6000),
        ),
      },
      heldOut,
    ),
  ),
  folder: about(
    'Your own pictures: a folder with one folder a class, or with metadata.jsonl, whose lines name a file and its class, caption, vector or boxes.',
    describedRecord(
      { path: about("The folder, relative to the experiment's file.", nonEmpty, '../my-pictures') },
      picture,
      heldOut,
    ),
  ),
  segmentation: about(
    'A folder of label maps, as "folder" has it, where a pixel\'s grey value is its label: one channel a label, 1 where it is, else -1.',
    describedRecord(
      { path: about("The folder, relative to the experiment's file.", nonEmpty, '../my-label-maps'), labels },
      picture,
      heldOut,
    ),
  ),
  own: about(
    'Pictures that a function of the program gives which defined the experiment (defineExperiment); in no file of your own.',
    describedRecord({}, picture, heldOut),
  ),
})
