import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { Range } from './fields.tsx'

/** A picture to paint on: what is painted is drawn anew. By pointer, or by arrow keys and the space bar. */

interface At {
  readonly x: number
  readonly y: number
}
const tint = 'rgb(255 60 160 / 60%)'

export const MaskPainter = (props: {
  /** A URL of data. */
  readonly picture: string
  readonly width: number
  readonly height: number
  /** The mask as a URL of data, or nothing where nothing is painted. */
  readonly set: (mask: string | undefined) => void
}) => {
  const { picture, width, height, set } = props
  const canvas = useRef<HTMLCanvasElement>(null)
  const painted = useRef(new Uint8Array(width * height))
  const shown = useRef<HTMLImageElement>()
  const painting = useRef(false)
  const [brush, setBrush] = useState(Math.max(1, Math.round(width / 10)))
  const [cursor, setCursor] = useState<At>()
  const [share, setShare] = useState(0)
  const help = useId()

  const show = (): void => {
    const context = canvas.current?.getContext('2d')
    if (context == null || shown.current === undefined) return
    context.clearRect(0, 0, width, height)
    context.drawImage(shown.current, 0, 0, width, height)
    context.fillStyle = tint
    painted.current.forEach((on, i) => {
      if (on === 1) context.fillRect(i % width, Math.floor(i / width), 1, 1)
    })
    if (cursor === undefined) return
    context.strokeStyle = '#fff'
    context.lineWidth = Math.max(0.5, width / 128)
    context.strokeRect(cursor.x - brush / 2, cursor.y - brush / 2, brush, brush)
  }
  const hand = (): void => {
    const count = painted.current.reduce((sum, on) => sum + on, 0)
    setShare(count / painted.current.length)
    if (count === 0) {
      set(undefined)
      return
    }
    const mask = document.createElement('canvas')
    Object.assign(mask, { width, height })
    const context = mask.getContext('2d')
    if (context === null) return
    const pixels = context.createImageData(width, height)
    painted.current.forEach((on, i) => {
      pixels.data.set([255 * on, 255 * on, 255 * on, 255], 4 * i)
    })
    context.putImageData(pixels, 0, 0)
    set(mask.toDataURL('image/png'))
  }
  const paint = ({ x, y }: At, on: 0 | 1): void => {
    const r = brush / 2
    for (let row = Math.max(0, Math.floor(y - r)); row < Math.min(height, y + r); row++)
      for (let column = Math.max(0, Math.floor(x - r)); column < Math.min(width, x + r); column++)
        if (brush < 4 || (row + 0.5 - y) ** 2 + (column + 0.5 - x) ** 2 <= r * r)
          painted.current[row * width + column] = on
    show()
  }
  useEffect(() => {
    painted.current = new Uint8Array(width * height)
    setShare(0)
    const image = new Image()
    image.addEventListener('load', () => {
      shown.current = image
      show()
    })
    image.src = picture
  }, [picture, width, height])
  useEffect(show, [cursor, brush])

  const placeOf = (e: PointerEvent & { readonly currentTarget: HTMLElement }): At => {
    const box = e.currentTarget.getBoundingClientRect()
    return { x: ((e.clientX - box.left) / box.width) * width, y: ((e.clientY - box.top) / box.height) * height }
  }
  const moves: Readonly<Record<string, readonly [number, number]>> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  }
  const onKey = (e: KeyboardEvent): void => {
    const at = cursor ?? { x: width / 2, y: height / 2 }
    const move = moves[e.key]
    if (move !== undefined) {
      e.preventDefault()
      const step = Math.max(1, Math.round(brush / 2))
      const to = (from: number, by: number, most: number): number => Math.min(most, Math.max(0, from + by * step))
      setCursor({ x: to(at.x, move[0], width), y: to(at.y, move[1], height) })
    } else if (e.key === ' ' || e.key === 'Backspace') {
      e.preventDefault()
      setCursor(at)
      paint(at, e.key === ' ' ? 1 : 0)
      hand()
    }
  }
  const fill = (value: (on: number) => number): void => {
    painted.current = painted.current.map(value)
    show()
    hand()
  }
  return (
    <div class="mask">
      <button
        type="button"
        class="painter"
        aria-label="Where the picture is drawn anew"
        aria-describedby={help}
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId)
          painting.current = true
          paint(placeOf(e), e.shiftKey ? 0 : 1)
        }}
        onPointerMove={(e) => {
          if (painting.current) paint(placeOf(e), e.shiftKey ? 0 : 1)
        }}
        onPointerUp={() => {
          painting.current = false
          hand()
        }}
        onKeyDown={onKey}
        onBlur={() => setCursor(undefined)}
      >
        <canvas ref={canvas} width={width} height={height} />
      </button>
      <p id={help} class="hint">
        Paint what is to be drawn anew; the rest stays. Shift erases. By keyboard: arrows move, space paints, backspace
        erases.
      </p>
      <Range
        {...{ label: 'Brush', value: brush, min: 1, max: Math.max(2, Math.round(width / 2)), step: 1 }}
        says={`${brush} pixels`}
        set={setBrush}
      />
      <div class="row">
        <button type="button" class="quiet" onClick={() => fill(() => 0)}>
          Clear
        </button>
        <button type="button" class="quiet" onClick={() => fill((on) => 1 - on)}>
          Invert
        </button>
        <span role="status" class="hint">
          {share === 0 ? 'Nothing painted: all of it is drawn on from' : `${Math.round(100 * share)} % painted`}
        </span>
      </div>
    </div>
  )
}
