/** The categories of Unicode but `Flags`, which are too alike, and `Component`: skin tones and hair are no pictures of their own. */
export const emojiCategories = [
  'Activities',
  'Animals & Nature',
  'Food & Drink',
  'Objects',
  'People & Body',
  'Smileys & Emotion',
  'Symbols',
  'Travel & Places',
] as const
export type EmojiCategory = (typeof emojiCategories)[number]
