import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

/** Fields of a form, each with its label. */

export const NumberField = (props: {
  readonly label: string
  readonly value: number
  readonly set: (value: number) => void
  readonly min: number
  readonly max?: number
  readonly step?: number | 'any'
  readonly children?: ComponentChildren
}) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <div class="beside">
        <input
          id={id}
          type="number"
          required
          inputMode="decimal"
          value={props.value}
          min={props.min}
          max={props.max ?? Number.MAX_SAFE_INTEGER}
          step={props.step ?? 1}
          onInput={({ currentTarget }) => {
            if (Number.isFinite(currentTarget.valueAsNumber)) props.set(currentTarget.valueAsNumber)
          }}
        />
        {props.children}
      </div>
    </div>
  )
}

export const Choice = (props: {
  readonly label: string
  readonly value: string
  readonly options: readonly string[]
  readonly set: (value: string) => void
}) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select id={id} value={props.value} onChange={({ currentTarget }) => props.set(currentTarget.value)}>
        {props.options.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </div>
  )
}

export const Range = (props: {
  readonly label: string
  readonly value: number
  readonly min: number
  readonly max: number
  readonly step: number
  readonly says: string
  readonly set: (value: number) => void
}) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>
        {props.label} <output>{props.says}</output>
      </label>
      <input
        id={id}
        type="range"
        value={props.value}
        min={props.min}
        max={props.max}
        step={props.step}
        aria-valuetext={props.says}
        onInput={({ currentTarget }) => props.set(currentTarget.valueAsNumber)}
      />
    </div>
  )
}

/** A choice among few, all of them seen. */
export const Options = <K extends string>(props: {
  readonly legend: string
  readonly value: K
  readonly options: readonly (readonly [key: K, label: string])[]
  readonly set: (value: K) => void
}) => {
  const name = useId()
  return (
    <fieldset class="options">
      <legend>{props.legend}</legend>
      {props.options.map(([key, label]) => (
        <label key={key}>
          <input type="radio" name={name} checked={props.value === key} onChange={() => props.set(key)} />
          <span>{label}</span>
        </label>
      ))}
    </fieldset>
  )
}
