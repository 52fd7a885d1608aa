import { type Points, squaredDistance } from './points.ts'

/** Squared distance of each point to its kth nearest among the others of its set. */
export const neighbourhoods = (points: Points, k: number): Float64Array => {
  const nearest = Array.from({ length: points.n }, () => new Float64Array(k).fill(Number.POSITIVE_INFINITY))
  const put = (row: Float64Array, distance: number): void => {
    let at = k - 1
    if (distance >= (row[at] ?? 0)) return
    for (; at > 0 && (row[at - 1] ?? 0) > distance; at--) row[at] = row[at - 1] ?? 0
    row[at] = distance
  }
  const farthest = (row: Float64Array): number => row[k - 1] ?? 0
  nearest.forEach((row, i) => {
    for (let j = 0; j < i; j++) {
      const other = nearest[j]
      if (other === undefined) continue
      const distance = squaredDistance(points, i, points, j, Math.max(farthest(row), farthest(other)))
      put(row, distance)
      put(other, distance)
    }
  })
  return Float64Array.from(nearest, farthest)
}

/** How two sets of points cover each other, 0 to 1. */
export interface PrecisionRecall {
  /** How much of what was drawn looks real. */
  readonly precision: number
  /** How much of what is real could have been drawn. */
  readonly recall: number
}

/** Of manifolds that are balls to the kth neighbour; the paper's choice. */
export const defaultNeighbours = 3

/**
 * Improved precision and recall (Kynkaanniemi et al. 2019, equations 1 and 2): the share of points of one set that lie within the
 * distance of a point of the other set to its kth neighbour there. More than k points in each.
 */
export const precisionRecall = (samples: Points, real: Points, k: number = defaultNeighbours): PrecisionRecall => {
  const [ofReal, ofSamples] = [neighbourhoods(real, k), neighbourhoods(samples, k)]
  const recalled = new Uint8Array(real.n)
  let precise = 0
  for (let i = 0; i < samples.n; i++) {
    let inside = false
    const own = ofSamples[i] ?? 0
    for (let j = 0; j < real.n; j++) {
      const [theirs, known] = [ofReal[j] ?? 0, recalled[j] === 1]
      if (inside && known) continue
      const distance = squaredDistance(samples, i, real, j, Math.max(known ? 0 : own, inside ? 0 : theirs))
      inside ||= distance <= theirs
      if (distance <= own) recalled[j] = 1
    }
    if (inside) precise += 1
  }
  return { precision: precise / samples.n, recall: recalled.reduce((a, b) => a + b, 0) / real.n }
}
