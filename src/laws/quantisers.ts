import fc from 'fast-check'
import { constant, scalar, type Tensor, vector } from '../declare/index.ts'
import { float, int } from '../graph/types.ts'
import { codebookUsage, gumbelQuantizer, remapToUsed, unmapToAll, vectorQuantizer } from '../nn/quantize.ts'
import { straightThrough } from '../nn/straight-through.ts'
import { pipe } from '../prelude.ts'
import { trainable, vjp } from '../transform/index.ts'
import { type Law, lawOf } from './law.ts'
import { fed, gap, real, reals, shortfall, total } from './numbers.ts'

const slope = (y: Tensor, x: Tensor, cotangent: Tensor): Tensor => vjp([[y, cotangent]], [x])[0] ?? y

const dim = 2
const book = reals(4 * dim, -2, 2)
/** z[1, dim, 3, 1] */
const latents = reals(3 * dim, -2, 2)
const config = { entries: 4, dim, beta: 0.25 } as const
const asLatents = (z: readonly number[]): Tensor => constant(z, float(1, dim, 3, 1))
const vectorsOf = (z: readonly number[]): readonly (readonly number[])[] =>
  [0, 1, 2].map((i) => [z[i] ?? 0, z[i + 3] ?? 0])
const apart = (a: readonly number[], b: readonly number[]): number =>
  total(a.map((x, i) => (x - (b[i] ?? Number.NaN)) ** 2))
/** Of codes and of what stands for them. */
export const quantiserLaws: readonly Law[] = [
  lawOf({
    name: 'a straight-through gradient is the identity',
    equation: 'y = e in value, dL/dx = dL/dy',
    source: 'Bengio et al. 2013, section 3; van den Oord et al. 2017, section 3.2',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: fc.record({ x: latents, e: latents, cotangent: latents }),
    outputs: ({ x, e, cotangent }) => {
      const from = vector(x)
      const y = pipe(from, straightThrough(vector(e)))
      return { y, slope: slope(y, from, vector(cotangent)) }
    },
    deviation: (r, { e, cotangent }) => Math.max(gap(r.y, e), gap(r.slope, cotangent)),
  }),
  lawOf({
    name: 'quantised latents are the nearest vectors, with the gradient of the latents',
    equation: 'y = e_k, k = argmin |z - e_j|; dL/dz = dL/dy',
    source: 'van den Oord et al. 2017, equations 1 and 2',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({ z: latents, table: book, cotangent: latents }),
    outputs: ({ z, cotangent }) => {
      const leaf = asLatents(z)
      const { y } = vectorQuantizer('', { ...config, weighs: 'beta' })(leaf)
      return { y, slope: slope(y, leaf, asLatents(cotangent)) }
    },
    feeds: ({ table }) => fed({ 'embedding.weight': table }, [4, dim]),
    deviation: (r, { z, table, cotangent }) => {
      const entries = [0, 1, 2, 3].map((k) => table.slice(dim * k, dim * k + dim))
      const chosen = vectorsOf(r.y)
      const least = vectorsOf(z).map((v) => Math.min(...entries.map((e) => apart(v, e))))
      return Math.max(
        gap(
          vectorsOf(z).map((v, i) => apart(v, chosen[i] ?? [])),
          least,
        ),
        gap(r.slope, cotangent),
      )
    },
  }),
  lawOf({
    name: "the two orders of beta agree in value, and weigh each other's term",
    equation: 'L = L_legacy; dL/dz = beta dL_legacy/dz, dL_legacy/de = beta dL/de',
    source: 'van den Oord et al. 2017, equation 3; CompVis taming-transformers, quantize.py: legacy',
    tolerance: { float64: 1e-13, float32: 1e-5 },
    arbitrary: fc.record({ z: latents, table: book }),
    outputs: ({ z }) => {
      const leaf = asLatents(z)
      const [right, legacy] = [
        vectorQuantizer('', { ...config, weighs: 'beta' })(leaf).loss,
        vectorQuantizer('', { ...config, weighs: 'legacyBeta' })(leaf).loss,
      ]
      return {
        right,
        legacy,
        z: slope(right, leaf, scalar(1)),
        legacyZ: slope(legacy, leaf, scalar(config.beta)),
        e: slope(right, trainable(right)[0] ?? right, scalar(config.beta)),
        legacyE: slope(legacy, trainable(legacy)[0] ?? legacy, scalar(1)),
      }
    },
    feeds: ({ table }) => fed({ 'embedding.weight': table }, [4, dim]),
    deviation: (r) => Math.max(gap(r.right, r.legacy), gap(r.z, r.legacyZ), gap(r.e, r.legacyE)),
  }),
  lawOf({
    name: 'a hard mixture is one vector in value, the soft mixture in gradient',
    equation: 'y = e_k, k = argmax p; dL/dz through p = softmax((W z + n) / tau)',
    source: 'Jang et al. 2017, section 2.2',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: fc.record({
      ...{ z: latents, table: book, projection: book, noise: reals(4 * 3, -1, 1), cotangent: latents },
      temperature: fc.constantFrom(0.3, 1, 2),
    }),
    outputs: ({ z, noise, cotangent, temperature }) => {
      const leaf = asLatents(z)
      const given = { noise: constant(noise, float(1, 4, 3, 1)), temperature, training: true }
      const of = (hard: boolean) => gumbelQuantizer('', { entries: 4, dim, klWeight: 0, hard })(leaf, given)
      const [hard, soft] = [of(true), of(false)]
      const back = asLatents(cotangent)
      return { y: hard.y, codes: hard.codes, hard: slope(hard.y, leaf, back), soft: slope(soft.y, leaf, back) }
    },
    feeds: ({ table, projection }) => ({
      ...fed({ 'embed.weight': table }, [4, dim]),
      ...fed({ 'proj.weight': projection }, [4, dim, 1, 1]),
      ...fed({ 'proj.bias': [0, 0, 0, 0] }, [4]),
    }),
    deviation: ({ y, codes, hard, soft }, { table }) =>
      Math.max(
        gap(
          vectorsOf(y).flat(),
          codes.flatMap((k) => table.slice(dim * k, dim * k + dim)),
        ),
        gap(hard, soft),
      ),
  }),
  lawOf({
    name: 'a mixture is drawn to all codes alike, of those that are used',
    equation: 'L = w mean over positions of KL(q || uniform over all n codes), q = softmax(W z + b) over the used',
    source: 'CompVis taming-transformers, quantize.py GumbelQuantize: qy log(qy n_embed), unused codes left out',
    tolerance: { float64: 1e-8, float32: 1e-5 },
    arbitrary: fc.record({
      ...{ z: latents, projection: book, bias: reals(4, -1, 1), klWeight: real(0.1, 2) },
      used: fc.option(fc.uniqueArray(fc.nat(3), { minLength: 1 }), { nil: undefined }),
    }),
    outputs: ({ z, klWeight, used }) => {
      const noise = constant([0], float(1, used?.length ?? 4, 3, 1))
      const { loss } = gumbelQuantizer('', { entries: 4, dim, klWeight, hard: true })(asLatents(z), {
        noise,
        ...(used === undefined ? {} : { used }),
      })
      return { loss }
    },
    feeds: ({ projection, bias }) => ({
      ...fed({ 'proj.weight': projection }, [4, dim, 1, 1]),
      ...fed({ 'proj.bias': bias }, [4]),
    }),
    deviation: ({ loss }, { z, projection, bias, klWeight, used = [0, 1, 2, 3] }) => {
      const divergences = vectorsOf(z).map((v) => {
        const exps = used.map((k) =>
          Math.exp((bias[k] ?? 0) + total(v.map((x, i) => x * (projection[dim * k + i] ?? Number.NaN)))),
        )
        const q = exps.map((e) => e / total(exps))
        return total(q.map((p) => p * Math.log(p * 4)))
      })
      return gap(loss, [(klWeight * total(divergences)) / divergences.length])
    },
  }),
  lawOf({
    name: 'codes numbered anew are found again',
    equation: 'unmap(remap(k)) = k for used k; others are the further number, the fixed one, or one of the used',
    source: 'CompVis taming-transformers, quantize.py VectorQuantizer2: remap_to_used, unmap_to_all',
    tolerance: { float64: 0, float32: 0 },
    arbitrary: fc.record({
      used: fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 5 }),
      codes: fc.array(fc.nat(5), { minLength: 6, maxLength: 6 }),
      unknown: fc.constantFrom<('extra' | 'random' | number)[]>('extra', 'random', 0),
      chance: reals(6, 0, 0.999),
    }),
    outputs: ({ used, codes, unknown }) => {
      const numbers = pipe(constant(codes, int(6)), remapToUsed('', 6, { used, unknown }))
      return { numbers, again: pipe(numbers, unmapToAll({ used, unknown })) }
    },
    feeds: ({ unknown, chance }) => (unknown === 'random' ? fed({ remap: chance }, [6]) : {}),
    deviation: ({ numbers, again }, { used, codes, unknown, chance }) => {
      const otherwise = (i: number): number =>
        unknown === 'extra' ? used.length : unknown === 'random' ? Math.floor((chance[i] ?? 0) * used.length) : unknown
      return Math.max(
        gap(
          numbers,
          codes.map((k, i) => (used.includes(k) ? used.indexOf(k) : otherwise(i))),
        ),
        gap(
          again.map((k, i) => (used.includes(codes[i] ?? -1) ? k : 0)),
          codes.map((k) => (used.includes(k) ? k : 0)),
        ),
        again.every((k) => used.includes(k)) ? 0 : 1,
      )
    },
  }),
  lawOf({
    name: 'perplexity lies between one code and all',
    equation: '1 <= e^H <= used <= entries, with equality where the codes used are used alike',
    source: 'Shannon 1948, section 6',
    tolerance: { float64: 1e-8, float32: 1e-5 },
    arbitrary: fc.record({
      codes: fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }),
      once: fc.uniqueArray(fc.nat(3), { minLength: 1 }),
    }),
    outputs: ({ codes, once }) => {
      const usage = (xs: readonly number[]) => codebookUsage(4)(constant(xs, int(xs.length)))
      return { ...usage(codes), even: usage(once).perplexity }
    },
    deviation: ({ perplexity, used, even }, { codes, once }) =>
      Math.max(
        shortfall(perplexity, 1),
        total(perplexity) - total(used),
        gap(used, [new Set(codes).size]),
        gap(even, [once.length]),
      ),
  }),
]
