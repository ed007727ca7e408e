import type { Example } from './failure-examples.ts'

/** As much of an OpenAPI document as is completed here. */
interface Contract {
  servers?: object[]
  paths?: Record<string, Record<string, Operation>>
  components?: { headers?: Record<string, object>, examples?: Record<string, Example> }
}

interface Operation {
  tags?: string[]
  requestBody?: { required?: boolean, content: Record<string, { schema: { $ref?: string } }> }
  responses: Record<string, Response>
}

interface Response {
  headers?: Record<string, object>
  content?: Record<string, { examples?: Record<string, object> }>
}

const count = (description: string) => ({ description, schema: { type: 'integer', format: 'int32', minimum: 0, maximum: 999_999_999 } })

const limited = {
  'RateLimit-Limit': count('Requests that this address may make in the window.'),
  'RateLimit-Remaining': count('How many of them are left.'),
  'RateLimit-Reset': count('Seconds until the window ends.')
}

const allowOrigin = {
  'Access-Control-Allow-Origin': {
    description: 'The origin that asked, where it is one of LATCHKEY_CORS_ORIGINS; otherwise the header is absent.',
    schema: { type: 'string', pattern: '^https?://\\S+$', maxLength: 255 }
  }
}

const requestId = {
  'X-Request-Id': { description: 'Names this request in the service\'s log; the caller\'s own, where that is a UUID.', schema: { type: 'string', format: 'uuid', maxLength: 36 } }
}

/** Health is asked by load balancers, which have no limit. */
const isLimited = ({ tags = [] }: Operation) => !tags.includes('Health')

/**
 * What no single route declares: the headers that plugins add, that a body may be missing where its schema allows null,
 * and the examples that responses name, each of which is in `examples`.
 */
export function completeContract<T extends object> (contract: T, examples: Record<string, Example>): T {
  const { paths = {}, components, servers = [] }: Contract = contract
  // For Spectral: our own services and strangers alike may call it.
  for (const server of servers) Object.assign(server, { 'x-internal': false })
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods))
  if (components) Object.assign(components, { headers: { ...limited, ...requestId, ...allowOrigin }, examples: pick(examples, namedBy(operations)) })
  for (const operation of operations) {
    const headers = references({ ...(isLimited(operation) && limited), ...requestId, ...allowOrigin })
    for (const response of Object.values(operation.responses)) response.headers = { ...response.headers, ...headers }
    const { requestBody } = operation
    if (requestBody?.content['application/json']?.schema.$ref === '#/components/schemas/RefreshRequest') requestBody.required = false
  }
  return contract
}

/** The names of the examples in all responses. */
function namedBy (operations: Operation[]): string[] {
  const responses = operations.flatMap((operation) => Object.values(operation.responses))
  return responses.flatMap(({ content = {} }) => Object.values(content)).flatMap(({ examples = {} }) => Object.keys(examples))
}

function pick (examples: Record<string, Example>, names: string[]): Record<string, Example> {
  return Object.fromEntries(Object.entries(examples).filter(([name]) => names.includes(name)))
}

function references (headers: object): Record<string, object> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, { $ref: `#/components/headers/${name}` }]))
}
