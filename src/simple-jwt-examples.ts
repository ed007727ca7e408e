import { catalogue, type Code, codes } from './errors.ts'
import type { Example } from './failure-examples.ts'
import { presentProblem, presentRefusal } from './simple-jwt.ts'

const fault = (code: Code) => presentProblem(code, { method: 'POST', retryAfter: 60 })

export const invalidJson = fault('invalid_json')
export const refusal = presentRefusal({ type: 'access', state: 'invalid' })

/** What no call takes, whatever its fields: a body that is null. */
export const fieldFaults = { non_field_errors: ['No data provided'] }

/** The name in the contract of what a problem is here. */
export const faultName = (problemName: string) => `simple_jwt_${problemName}`

/** What stands here for each example of a problem. */
export const faultExamples: Record<string, Example> = {
  ...Object.fromEntries(codes.map((code) => [faultName(code), { summary: catalogue[code].title, value: fault(code) }])),
  [faultName('invalid_token')]: { summary: catalogue.invalid_token.title, value: refusal },
  [faultName('invalid_fields')]: { summary: 'Invalid fields', value: fieldFaults }
}
