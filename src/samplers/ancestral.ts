import type { Shares } from '../schedulers/path.ts'

/**
 * A step with noise as one without to a lower level, and noise on it: `down` and how much is added (`get_ancestral_step` in
 * k-diffusion; eta 0 adds none).
 */
export const ancestral = <L extends Shares>(
  here: Shares,
  next: L,
  eta: number,
): { readonly down: L; readonly up: number } => {
  const [from, to] = [here.sigma / here.alpha, next.sigma / next.alpha]
  const up =
    eta === 0 ? 0 : Math.min(to, eta * to * Math.sqrt(from === Number.POSITIVE_INFINITY ? 1 : 1 - (to / from) ** 2))
  return { down: { ...next, sigma: next.alpha * Math.sqrt(to ** 2 - up ** 2) }, up: next.alpha * up }
}
