import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { reference } from '../../src/execute/reference/index.ts'
import { TE } from '../../src/prelude.ts'
import { encodeLatents } from '../../src/train/latents.ts'

test('pictures that are all alike have no scale to be measured, and the way on that is offered has', async () => {
  const grey = {
    n: 3,
    shape: [1, 2, 2],
    read: ({ length }: ArrayLike<number>) => TE.right(new Float32Array(4 * length)),
  }
  const encoding = { executor: reference, state: {}, seed: 0, dir: tmpdir() }
  const scaledBy = (latentScale: { readonly kind: 'measured' } | { readonly kind: 'fixed'; readonly value: number }) =>
    encodeLatents(
      { kind: 'identity', clip: true, picture: grey.shape },
      encoding,
      { latents: 'unquantised', latentScale },
      grey,
    )()
  expect(await scaledBy({ kind: 'measured' })).toMatchObject({
    left: [{ tag: 'training', at: '/diffusion/latentScale', hint: expect.stringContaining('"value":1') }],
  })
  expect(await scaledBy({ kind: 'fixed', value: 1 })).toMatchObject({ right: { scale: 1 } })
})
