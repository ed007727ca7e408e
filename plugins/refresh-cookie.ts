import cookiePlugin, { type CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Config, isHttps } from '../src/config.ts'
import { isOwnPage } from '../src/csrf.ts'
import { fieldError } from '../src/errors.ts'
import type { Tokens } from '../src/session-tokens.ts'
import { presentTokens } from '../src/token-pair.ts'

type Transport = 'body' | 'cookie'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether refresh tokens may travel in a cookie. */
    cookies: boolean
    /** A preHandler hook of routes that take a refresh token: answers 400 where none can be, 403 to other sites. */
    checkTransport: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>
  }

  interface FastifyRequest {
    /** The refresh token of the body, else of the cookie; the browser sends the latter, whoever made the request. */
    refreshToken: { token: string, transport: Transport } | undefined
    /** Whether the request comes from a page that may use the cookie. */
    isOwnPage: () => boolean
  }

  interface FastifyReply {
    sendTokens: (tokens: Tokens, transport: Transport) => FastifyReply
    clearRefreshCookie: () => FastifyReply
    rejectCrossSite: () => Promise<FastifyReply>
  }
}

type Options = Pick<Config, 'cookies' | 'publicUrl' | 'corsOrigins'>

/** Keeps a browser's refresh token where no script can read it (docs/browsers.md). */
async function refreshCookie (app: FastifyInstance, { cookies, publicUrl, corsOrigins }: Options) {
  const secure = isHttps(publicUrl)
  // The prefix binds the cookie to this host alone (RFC 6265bis §4.1.3.2); browsers take it over TLS only.
  const name = secure ? '__Host-latchkey' : 'latchkey'
  const attributes: CookieSerializeOptions = { httpOnly: true, secure, sameSite: 'strict', path: '/' }
  const ownOrigins = [new URL(publicUrl).origin, ...corsOrigins]

  if (cookies) await app.register(cookiePlugin)
  app.decorate('cookies', cookies)
  app.decorate('checkTransport', checkTransport)
  app.decorateRequest('refreshToken', { getter: presented })
  app.decorateRequest('isOwnPage', fromOwnPage)
  app.decorateReply('sendTokens', sendTokens)
  app.decorateReply('clearRefreshCookie', function () { return cookies ? this.clearCookie(name, attributes) : this })
  app.decorateReply('rejectCrossSite', rejectCrossSite)

  function presented (this: FastifyRequest) {
    // Of the routes that ask, each has a body with this field or none.
    const token = (this.body as { refresh_token?: string } | null | undefined)?.refresh_token
    if (token !== undefined) return { token, transport: 'body' as const }
    const kept = cookies ? this.cookies[name] : undefined
    return kept === undefined ? undefined : { token: kept, transport: 'cookie' as const }
  }

  async function checkTransport (request: FastifyRequest, reply: FastifyReply) {
    const { refreshToken } = request
    if (refreshToken === undefined && !cookies) return reply.problem('invalid_request', [fieldError('/refresh_token', 'required')])
    return refreshToken?.transport === 'cookie' && !request.isOwnPage() ? await reply.rejectCrossSite() : undefined
  }

  function fromOwnPage (this: FastifyRequest) {
    const { origin, 'sec-fetch-site': site } = this.headers
    return isOwnPage({ origin, site: site?.toString() }, ownOrigins)
  }

  function sendTokens (this: FastifyReply, tokens: Tokens, transport: Transport) {
    const { refresh_token: token, ...rest } = presentTokens(tokens)
    if (transport === 'body') return this.send({ ...rest, refresh_token: token })
    return this.setCookie(name, token, { ...attributes, maxAge: tokens.refreshExpiresIn }).send(rest)
  }

  async function rejectCrossSite (this: FastifyReply) {
    await this.request.audit('malicious_cross_site')
    return this.problem('csrf_rejected')
  }
}

export default fp(refreshCookie, { fastify: '5.x', name: 'refresh-cookie', dependencies: ['errors', 'audit'] })
