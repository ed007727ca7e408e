import { createLocalJWKSet, jwtVerify } from 'jose'
import t from 'tap'
import { problem } from '../src/errors.ts'
import { Jwks, Session, TokenPair, User } from '../src/schemas.ts'
import { type Answer, assertDeclared, check, contract, escape } from './fixtures/contract.ts'

const { schemas, examples } = contract.components
const contents = Object.entries(contract.paths).flatMap(([path, methods]) => Object.entries(methods).flatMap(([method, { requestBody, responses }]) =>
  Object.entries({ ...responses, ...(requestBody && { body: requestBody }) }).flatMap(([status, { content = {} }]) =>
    Object.entries(content).map(([type, media]) => ({ name: `${method} ${path} ${status} ${type}`, status, media })))))

/** Every schema within another, with its pointer. */
function within (pointer: string, schema: object): [string, { examples?: unknown[] }][] {
  const { properties = {}, items }: { properties?: Record<string, object>, items?: object } = schema
  const inner = Object.entries(properties).flatMap(([name, one]) => within(`${pointer}/properties/${escape(name)}`, one))
  return [[pointer, schema], ...inner, ...(items ? within(`${pointer}/items`, items) : [])]
}

t.test('every component has a whole example, and every example is as its schema says', async (t) => {
  for (const [name, schema] of Object.entries(schemas)) {
    t.ok(schema.examples?.length, name)
    for (const [pointer, { examples = [] }] of within(`openapi#/components/schemas/${name}`, schema)) {
      t.strictSame(examples.flatMap((example) => check(pointer, pointer, example)), [])
    }
  }
})

t.test('every body is a named component, so that it has a name in generated clients and an example', async (t) => {
  t.ok(contents.length > 100)
  for (const { name, media } of contents) t.ok(schemas[refersTo('schemas', media.schema)], name)
})

t.test('every error response has an example for each way to fail: of its schema, with its status', async (t) => {
  for (const { name, status, media } of contents.filter(({ status }) => Number(status) >= 400)) {
    const found = Object.values(media.examples ?? {}).map((one) => examples[refersTo('examples', one)]?.value)
    t.ok(found.length > 0, name)
    for (const value of found) {
      t.strictSame(check(name, `openapi#/components/schemas/${refersTo('schemas', media.schema)}`, value), [])
      t.match({ status: Number(status), ...value }, { status: Number(status) }, name)
    }
  }
})

/** The name of a component that is referred to. */
function refersTo (kind: 'schemas' | 'examples', { $ref = '' }: { $ref?: string }): string {
  const start = `#/components/${kind}/`
  return $ref.startsWith(start) ? $ref.slice(start.length) : ''
}

t.test('the examples are of one account: its token is verified by the example of the keys, and names the user and the session', async (t) => {
  const [keys, pair, user, session] = [Jwks, TokenPair, User, Session].map((schema) => schema['examples'][0])
  const options = { typ: 'at+jwt', issuer: 'http://localhost:3000', audience: 'latchkey', algorithms: ['ES256'], currentDate: new Date(session.created_at) }
  const { payload } = await jwtVerify(pair.access_token, createLocalJWKSet(keys), options)
  t.match(payload, { sub: user.id, sid: session.id, exp: Math.floor(Date.parse(session.created_at) / 1000) + pair.expires_in })
  t.match([user.id, session.id], [/^[0-9a-f]{8}-[0-9a-f]{4}-7/, /^[0-9a-f]{8}-[0-9a-f]{4}-7/], 'UUIDv7')
})

const noStore: [string, string] = ['cache-control', 'no-store']
const requestId: [string, string] = ['x-request-id', '0199d0c3-0000-7000-8000-000000000000']
const healthy: Answer = { method: 'GET', path: '/livez', status: 200, headers: [noStore, requestId, ['content-type', 'application/json; charset=utf-8']], body: '{"status":"ok"}' }

t.test('what holds answers against the contract lets good ones through', async () => {
  assertDeclared(healthy)
  assertDeclared({ ...healthy, method: 'HEAD', path: '/livez/', body: '' })
  assertDeclared({ ...healthy, method: 'GET', path: '/docs', body: '<html>' })
})

const bad: [string, Partial<Answer>, RegExp][] = [
  ['a status that is not declared', { status: 201 }, /GET \/livez → 201: this status is not declared/],
  ['a header that is not declared', { headers: [...healthy.headers, ['Set-Cookie', 'latchkey=x']] }, /the header set-cookie is not declared/],
  ['a declared header that is absent', { headers: healthy.headers.slice(1) }, /the header cache-control is declared, and not sent/],
  ['a header with another value', { headers: [['cache-control', 'public'], ...healthy.headers.slice(1)] }, /cache-control: .*must be equal to constant/],
  ['another media type', { headers: [noStore, ['content-type', 'text/html']] }, /text\/html is not declared/],
  ['a body that is not as its schema says', { body: '{"status":"well"}' }, /body: .*must be equal to constant/],
  ['no body where one is declared', { body: '' }, /no body is sent/],
  ['a body where none is declared', { method: 'POST', path: '/logout', status: 204 }, /a body is sent where none is declared/],
  ['a cookie that scripts can read', { method: 'POST', path: '/logout', status: 204, body: '', headers: [noStore, ['set-cookie', 'latchkey=; Max-Age=0; Path=/; SameSite=Strict']] }, /set-cookie: .*must match pattern/],
  ['a problem that is none, where nothing is', { path: '/nothing', status: 404, headers: [['content-type', 'application/problem+json']], body: JSON.stringify({ ...problem('not_found', 'x'), more: 1 }) }, /GET \/nothing → 404: body/]
]

for (const [what, change, message] of bad) {
  t.test(`what holds answers against the contract refuses ${what}`, async (t) => {
    t.throws(() => assertDeclared({ ...healthy, ...change }), { message })
  })
}
