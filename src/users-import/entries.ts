import type { TypeCheck } from '@sinclair/typebox/compiler'
import type { TSchema } from '@sinclair/typebox'
import type { Incoming } from './account.ts'

/** What is at one place of a file. */
export type Entry =
  | { where: string, incoming: Incoming }
  | { where: string, reason: string }
  /** Of a model that was not asked for. */
  | { model: string }

/** The first thing that is wrong with a value; nothing of the value itself. */
export function faultOf (check: TypeCheck<TSchema>, value: unknown): string {
  const { path = '', message = '' } = check.Errors(value).First() ?? {}
  return `${printable(path.slice(1))}: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
}

const MOST_SHOWN = 80

/** A text of unknown origin for a terminal: one line, with nothing in it that a terminal obeys. */
export function printable (text: string): string {
  return text.slice(0, MOST_SHOWN).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\ufffd')
}
