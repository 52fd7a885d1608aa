/** What the server takes, keeps and waits for at most. */

const KiB = 2 ** 10
const MiB = 2 ** 20

export const limits = {
  /** Characters of a prompt, of a name. */
  text: 1000,
  name: 200,
  /** Pictures of one drawing, steps of its walk, guidance. */
  count: 16,
  steps: 250,
  guidance: 100,
  /** Bytes of a body: of settings, which may hold two pictures of the model's size, and of a picture of any size. */
  settings: 4 * MiB,
  picture: 8 * MiB,
  /** Pixels of a picture that comes in: what it takes decoded is bounded, however small the file. */
  pixels: 2 ** 25,
  /** Brackets within brackets of JSON. */
  depth: 8,
  /** Drawings that wait, beside the one that is drawn. */
  waiting: 8,
  /** What is kept of the session. */
  gallery: { entries: 200, bytes: 64 * MiB },
  /** Pictures of a walk that are sent while it is walked; each side in pixels at most. */
  previews: { steps: 32, side: 128 },
  /** Pages that follow trainings at once; how often a folder is looked at (ms). */
  followers: 8,
  look: 1000,
  /** Of a run's files that are read while it trains: bytes of a line of metrics, of a look, of a preview. */
  log: { line: 64 * KiB, look: 4 * MiB, preview: 32 * MiB },
  /** Points of a curve; a longer one is thinned out. */
  points: 2000,
  /** A reader that takes nothing for so long is left (ms). */
  stalled: 10_000,
  /** Something is written at least so often, that a connection that is gone is noticed (ms). */
  heartbeat: 5000,
  connections: 64,
  /** A request's headers, and the whole of it, must be there after so long (ms); looked at every `checking`, which decides. */
  headers: 5000,
  request: 20_000,
  checking: 1000,
  keepAlive: 5000,
  requestsOfConnection: 1000,
  headerBytes: 8 * KiB,
} as const
