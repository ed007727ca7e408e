import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { validate as isUuid } from 'uuid'

/** A caller's own id is kept when it is a UUID, so that one id follows a request through several services; nothing else can get into the log. */
export function idOfRequest ({ headers: { 'x-request-id': given } }: IncomingMessage): string {
  return typeof given === 'string' && isUuid(given) ? given : randomUUID()
}
