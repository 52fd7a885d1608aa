import type { Instruction, Plan } from './plan.ts'

/** Instructions that read nothing but what is fixed, and write where no others do, run once. */
export const runOnce = (plan: Plan): Plan => {
  const { each, leaves, fixed } = plan
  const moving = new Set(Object.entries(leaves).flatMap(([name, { view }]) => (fixed.has(name) ? [] : [view.buffer])))
  const isMoving = ({ reads, writes }: Instruction): boolean => [...reads, ...writes].some((b) => moving.has(b))
  for (let before = -1; before !== moving.size; ) {
    before = moving.size
    for (const i of each) if (isMoving(i)) for (const b of i.writes) moving.add(b)
  }
  return { ...plan, once: each.filter((i) => !isMoving(i)), each: each.filter(isMoving) }
}
