/** As much of an OpenAPI document as is completed here. */
interface Contract {
  servers?: object[]
  paths?: Record<string, Record<string, Operation>>
  components?: { headers?: Record<string, object> }
}

interface Operation {
  tags?: string[]
  requestBody?: { required?: boolean, content: Record<string, { schema: { $ref?: string } }> }
  responses: Record<string, { headers?: Record<string, object> }>
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

/** Health is asked by load balancers, which have no limit. */
const isLimited = ({ tags = [] }: Operation) => !tags.includes('Health')

/** What no single route declares: the headers that plugins add, and that a body may be missing where its schema allows null. */
export function completeContract<T extends object> (contract: T): T {
  const { paths = {}, components, servers = [] }: Contract = contract
  // For Spectral: our own services and strangers alike may call it.
  for (const server of servers) Object.assign(server, { 'x-internal': false })
  if (components) components.headers = { ...limited, ...allowOrigin }
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    const headers = references({ ...(isLimited(operation) && limited), ...allowOrigin })
    for (const response of Object.values(operation.responses)) response.headers = { ...response.headers, ...headers }
    const { requestBody } = operation
    if (requestBody?.content['application/json']?.schema.$ref === '#/components/schemas/RefreshRequest') requestBody.required = false
  }
  return contract
}

function references (headers: object): Record<string, object> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, { $ref: `#/components/headers/${name}` }]))
}
