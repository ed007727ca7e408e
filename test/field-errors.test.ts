import { Ajv } from 'ajv'
import t from 'tap'
import { fieldCatalogue } from '../src/errors.ts'
import { fieldErrors } from '../src/field-errors.ts'

const properties = {
  short: { type: 'string', minLength: 3 },
  long: { type: 'string', maxLength: 3 },
  pattern: { type: 'string', pattern: '^x' },
  choice: { enum: ['a', 'b'] },
  number: { type: 'number', minimum: 5 },
  list: { type: 'array', items: { type: 'string' } },
  nested: { type: 'object', properties: { inner: { type: 'string' } }, additionalProperties: false, required: ['inner'] }
}

/** What our errors make of what Ajv finds. */
function faults (value: unknown): Record<string, string> {
  const validate = new Ajv({ allErrors: true }).compile({ type: 'object', properties, additionalProperties: false, required: ['short'] })
  validate(value)
  const errors = fieldErrors(validate.errors ?? [])
  for (const { code, detail } of errors) t.equal(detail, fieldCatalogue[code])
  return Object.fromEntries(errors.map(({ pointer, code }) => [pointer, code]))
}

t.test('whatever a schema says of a field → one entry with a code of the catalogue', async (t) => {
  t.strictSame(faults({ short: 'abc' }), {})
  t.strictSame(faults({ short: 'a', long: 'abcd', pattern: 'y', choice: 'c', number: 1 }),
    { '/short': 'too_short', '/long': 'too_long', '/pattern': 'format', '/choice': 'format', '/number': 'format' })
  t.strictSame(faults({ short: 1, list: ['a', 2, 'c', 4], nested: { other: 1 } }),
    { '/short': 'type', '/list/1': 'type', '/list/3': 'type', '/nested/inner': 'required', '/nested/other': 'unknown_field' })
  t.strictSame(faults([]), { '': 'type' })
})
