import { type FieldCode, type FieldError, fieldError, type Limits } from './errors.ts'

/** What Ajv says of one fault. */
interface Fault {
  keyword: string
  instancePath: string
  params: Record<string, unknown>
}

const codesByKeyword: Record<string, FieldCode> = { type: 'type', minLength: 'too_short', maxLength: 'too_long' }

/** More would only be noise, and an answer much larger than the request. */
const MOST = 50

/** @returns one entry per field, in the order in which Ajv found them. */
export function fieldErrors (found: Fault[]): FieldError[] {
  const byPointer = new Map<string, FieldError>()
  for (const error of found) {
    const { pointer, code, limit } = fieldAtFault(error)
    if (!byPointer.has(pointer)) byPointer.set(pointer, fieldError(pointer, code, limit))
  }
  return [...byPointer.values()].slice(0, MOST)
}

function fieldAtFault ({ keyword, instancePath, params }: Fault): { pointer: string, code: FieldCode, limit?: Limits[FieldCode] } {
  if (keyword === 'required') return { pointer: `${instancePath}/${escape(params['missingProperty'])}`, code: 'required' }
  if (keyword === 'additionalProperties') return { pointer: `${instancePath}/${escape(params['additionalProperty'])}`, code: 'unknown_field' }
  // Our own keyword puts a code of the catalogue there, and its limit (`src/policy-keyword.ts`).
  if (keyword === 'x-policy') return { pointer: instancePath, code: params['code'] as FieldCode, limit: params['limit'] as Limits[FieldCode] }
  return { pointer: instancePath, code: codesByKeyword[keyword] ?? 'format' }
}

/** RFC 6901 §3. */
function escape (name: unknown): string {
  return String(name).replaceAll('~', '~0').replaceAll('/', '~1')
}
