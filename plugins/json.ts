import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { isUtf8 } from 'node:buffer'

/** JSON in UTF-8 is all we read: no text, no form, no other charset, and no byte that is not UTF-8. */
async function json (app: FastifyInstance) {
  const parse = app.getDefaultJsonParser('error', 'error')

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    // `parseAs: 'buffer'` gives a Buffer; the type knows only both.
    const bytes = body as Buffer
    if (!saysUtf8(String(request.headers['content-type']))) return done(httpError(415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE'))
    if (!isUtf8(bytes)) return done(httpError(400, 'FST_ERR_CTP_INVALID_JSON_BODY'))
    // RFC 8259 §8.1 lets us ignore a byte order mark; TextDecoder does.
    parse(request, new TextDecoder().decode(bytes), done)
  })
}

function saysUtf8 (contentType: string): boolean {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1]
  return charset === undefined || /^utf-?8$/i.test(charset)
}

function httpError (statusCode: number, code: string): Error {
  return Object.assign(new Error(code), { statusCode, code })
}

export default fp(json, { fastify: '5.x', name: 'json' })
