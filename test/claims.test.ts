import fc from 'fast-check'
import t from 'tap'
import { parseClaims } from '../src/claims.ts'

t.test('claims that an operator may set', async (t) => {
  t.same(parseClaims('{}'), { outcome: 'valid', claims: '{}' })
  t.same(parseClaims(' {"is_admin": true, "teams": [{"id": 1}]} '), { outcome: 'valid', claims: '{"is_admin":true,"teams":[{"id":1}]}' })
  t.same(parseClaims(`{"a":"${'x'.repeat(1_016)}"}`), { outcome: 'valid', claims: `{"a":"${'x'.repeat(1_016)}"}` }, '1 KiB exactly')
})

t.test('claims that are refused, with the reason', async (t) => {
  const object = 'expected a JSON object, such as {"is_admin":true}'
  const cases: [string, string][] = [
    ['', object], ['{', object], ['null', object], ['[]', object], ['"a"', object], ['1', object],
    [`{"a":"${'x'.repeat(1_017)}"}`, 'expected at most 1024 bytes'],
    [`{"a":"${'é'.repeat(600)}"}`, 'expected at most 1024 bytes'],
    ['{"a":{"b":{"c":1}}}', ''],
    ['{"a":{"b":{"c":{}}}}', 'expected at most 3 levels'],
    ['{"a":[[[1]]]}', 'expected at most 3 levels'],
    [`{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, 'expected at most 3 levels'],
    [`{"a":[${'0,'.repeat(200_000)}0]}`, 'expected at most 1024 bytes'],
    ['{"sub":"eve"}', '"sub" is reserved'],
    ['{"sid":1}', '"sid" is reserved'],
    ['{"user_id":1}', '"user_id" is reserved'],
    ['{"__proto__":{}}', '"__proto__" is reserved'],
    ['{"a":{"\\u005f_proto__":1}}', '"__proto__" is reserved']
  ]
  for (const [json, reason] of cases) {
    const parsed = parseClaims(json)
    t.equal(parsed.outcome === 'invalid' ? parsed.reason : '', reason, json.slice(0, 40))
  }
})

t.test('no text makes it throw, and what it takes is a small object', async () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (json) => {
    const parsed = parseClaims(json)
    return parsed.outcome === 'invalid' || (Buffer.byteLength(parsed.claims) <= 1_024 && JSON.parse(parsed.claims) !== null)
  }))
})
