import { catalogue, type Code, codes, fieldError, problem } from './errors.ts'

/** An example of the contract's `components`. */
export interface Example {
  summary: string
  value: object
}

const REQUEST_ID = '73dbad0c-3695-4d19-922e-03135e0de628'

/** Bodies are closed, so any operation that has one can answer this. */
export const invalidFields = problem('invalid_request', REQUEST_ID, [fieldError('/remember_me', 'unknown_field')])
export const tooShort = fieldError('/password', 'too_short', 8)
export const invalidCredentials = problem('invalid_credentials', REQUEST_ID)

/** Every problem as it is sent, by its name in the contract: the code, but for one that has `errors`. */
export const problemExamples: Record<string, Example> = {
  ...Object.fromEntries(codes.map((code) => [code, { summary: catalogue[code].title, value: problem(code, REQUEST_ID) }])),
  invalid_fields: { summary: 'Invalid fields', value: invalidFields }
}

/** Of each status the problems that an operation may answer with. Only one that reads a body names fields. */
export function problemNames (status: number, expected: Code[], all: Code[]): string[] {
  const names = all.filter((code) => catalogue[code].status === status)
  return status === 400 && expected.includes('invalid_request') ? ['invalid_fields', ...names] : names
}

/** For a response, which names examples of the `components`. */
export function referTo (names: string[]): Record<string, { $ref: string }> {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/examples/${name}` }]))
}
