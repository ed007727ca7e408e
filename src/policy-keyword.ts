import type { Ajv, SchemaValidateFunction } from 'ajv'
import type { FieldCode, Limits } from './errors.ts'
import { emailFault, usernameFault, usernameLimits } from './identity.ts'
import { passwordFault, passwordLimits, resemblesUser } from './password-policy.ts'

type Body = Record<string, unknown> | undefined

/**
 * The schema keyword `x-policy`: our rules for names and passwords, so that one validation reports every field at fault.
 * It compares a field with its siblings, which a format cannot.
 */
export function policyKeyword (passwordMinLength: number) {
  const rules: Record<string, (value: string, body: Body) => FieldCode | undefined> = {
    username: (value, body) => usernameFault(value, text(body?.['email'])),
    email: (value) => emailFault(value),
    'new-password': (value, body) => passwordFault(value, passwordMinLength) ??
      (resemblesUser(value, { username: text(body?.['username']) ?? '', email: text(body?.['email']) }) ? 'resembles_user' : undefined)
  }

  const limits: Record<string, Limits> = { username: usernameLimits, 'new-password': passwordLimits(passwordMinLength) }

  const validate: SchemaValidateFunction = (policy: string, value: string, _schema, context) => {
    const code = rules[policy]?.(value, context?.parentData)
    // Ajv's contract for a keyword with errors of its own: they are left on the function.
    validate.errors = code === undefined ? [] : [{ keyword: 'x-policy', params: { code, limit: limits[policy]?.[code] } }]
    return code === undefined
  }

  return (ajv: Ajv) => ajv.addKeyword({ keyword: 'x-policy', type: 'string', schemaType: 'string', errors: true, validate })
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
