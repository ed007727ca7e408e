import { Type } from '@sinclair/typebox'

interface Options {
  env: string
  description: string
  default?: string
  /** What of the value nobody should be shown: all of it, or the user, password and parameters of a URL. */
  hidden?: 'all' | 'credentials'
}

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * A setting: text from the environment and how to read it.
 * `decode` throws an Error that says what was expected; it never repeats the value, which may be a secret.
 */
export function text<T> (decode: (value: string) => T, options: Options) {
  return Type.Transform(Type.String(options)).Decode(decode).Encode(String)
}

export function choice<const T extends string> (values: readonly T[], options: Options) {
  return text((value) => {
    const found = values.find((one) => one === value)
    if (found === undefined) throw new Error(`expected one of ${values.join(', ')}`)
    return found
  }, options)
}

export function integer ([least, most]: [number, number], options: Options) {
  return text((value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN
    if (!(number >= least && number <= most)) throw new Error(`expected a whole number from ${least} to ${most}`)
    return number
  }, options)
}

/** `on` or `off`, read as a boolean. */
export function toggle (options: Options) {
  return text((value) => {
    if (value !== 'on' && value !== 'off') throw new Error('expected on or off')
    return value === 'on'
  }, options)
}

/** Text such as `15m`, read as milliseconds. */
export function duration ([least, most]: [string, string], options: Options) {
  return text((value) => {
    const time = milliseconds(value)
    if (!(time >= milliseconds(least) && time <= milliseconds(most))) {
      throw new Error(`expected a duration from ${least} to ${most}, such as 90s, 15m, 12h or 30d`)
    }
    return time
  }, options)
}

/** @returns NaN for what is no duration. */
export function milliseconds (value: string): number {
  const [, amount, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(value) ?? []
  // The pattern lets no other unit through.
  return unit === undefined ? NaN : Number(amount) * units[unit as keyof typeof units]
}

/** Comma-separated; white space around an entry is not part of it. */
export function list (options: Options, check: (entry: string) => void = () => {}) {
  return text((value) => {
    const entries = value.split(',').map((entry) => entry.trim()).filter((entry) => entry !== '')
    entries.forEach(check)
    return entries
  }, options)
}
