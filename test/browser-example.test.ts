import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { eventually, select } from './fixtures/accounts.ts'
import { build, fakeClock, folder, PASSWORD, register } from './fixtures/app.ts'
import { launch, withoutChromium } from './fixtures/chromium.ts'
import { portOf } from './fixtures/process.ts'

/** examples/browser on a port of its own, as a page of `api`; `html` is to be set before it is asked for. */
async function servePage (t: Test) {
  const page = { html: '' }
  const server = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(page.html)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { origin: `http://localhost:${portOf(server)}`, use: (api: string) => { page.html = readFileSync('examples/browser/index.html', 'utf8').replace('http://localhost:3000', api) } }
}

/** A service, a page that may use it, and a browser; the service's clock is moved by hand. */
async function start (t: Test) {
  const [listed, unlisted, path, clock] = [await servePage(t), await servePage(t), folder(t), fakeClock(Date.now())]
  const app = await build(t, { path, now: clock.now, env: { LATCHKEY_COOKIES: 'on', LATCHKEY_CORS_ORIGINS: listed.origin } })
  await register(app)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const api = `http://localhost:${new URL(app.listeningOrigin).port}`
  for (const page of [listed, unlisted]) page.use(api)

  const context = await (await launch(t)).newContext()
  const calls: string[] = []
  context.on('response', (response) => {
    const { pathname, origin } = new URL(response.url())
    if (origin === api && response.request().method() !== 'OPTIONS') calls.push(`${response.request().method()} ${pathname} ${response.status()}`)
  })
  return {
    api,
    path,
    clock,
    context,
    origin: listed.origin,
    unlisted: unlisted.origin,
    /** What the page has asked of the service since this was called last; waits until it is so many calls, for they are heard of later than the page shows them. */
    called: async (count = 0) => {
      await eventually(async () => calls.length >= count)
      return calls.splice(0)
    }
  }
}

async function openTab (context: BrowserContext, origin: string): Promise<Page> {
  const tab = await context.newPage()
  await tab.goto(origin)
  return tab
}

/** Without the mouse: of two tabs one is in the background, where a browser that is busy may lose a click. */
const press = (tab: Page, button: string) => tab.dispatchEvent(button, 'click')

async function logIn (tab: Page, password = PASSWORD) {
  await tab.fill('[name=username]', 'ada')
  await tab.fill('[name=password]', password)
  await press(tab, '#login button')
}

const isLoggedIn = (tab: Page) => tab.waitForSelector('#name:text-is("ada")')
const isLoggedOut = (tab: Page) => tab.waitForSelector('#login')
const says = (tab: Page, text: string) => tab.waitForSelector(`#message:text-is("${text}")`)

async function openPrivate (tab: Page) {
  await tab.evaluate('message.textContent = ""')
  await press(tab, '#open')
  await says(tab, 'Access Granted!')
}

t.test('examples/browser: two tabs log in, reload, sleep, refresh and log out as one, and no script sees a refresh token', { skip: withoutChromium }, async (t) => {
  const { api, clock, context, origin, called } = await start(t)
  const one = await openTab(context, origin)
  await isLoggedOut(one)
  await says(one, 'Please log in.')
  t.strictSame(await called(1), ['POST /refresh 401'])

  await logIn(one)
  await isLoggedIn(one)
  t.strictSame(await called(2), ['POST /login 200', 'GET /me 200'])
  t.match(await context.cookies(api), [{ name: 'latchkey', httpOnly: true, sameSite: 'Strict', path: '/', domain: 'localhost' }])

  const other = await openTab(context, origin)
  await isLoggedIn(other)
  t.strictSame(await called(2), ['POST /refresh 200', 'GET /me 200'], 'a new tab has the cookie, and begins with it')
  await one.reload()
  await isLoggedIn(one)
  t.strictSame(await called(2), ['POST /refresh 200', 'GET /me 200'], 'so has one that was loaded anew')
  for (const tab of [one, other]) t.strictSame(await stored(tab), ['{}', '{}', ''], 'nothing lies where scripts read it')

  clock.advance(900_000)
  await openPrivate(one)
  t.strictSame(await called(3), ['GET /private 401', 'POST /refresh 200', 'GET /private 200'], 'a tab that slept while its token expired')
  await openPrivate(other)
  t.strictSame(await called(1), ['GET /private 200'], 'the other was told the new one')

  for (const tab of [one, other]) await passTime(tab, 900_000)
  clock.advance(900_000)
  await Promise.all([one, other].map(openPrivate))
  // The lock may pass on before the new token is heard of; to ask within the grace time gives the same refresh token.
  const calls: string[] = []
  while (calls.filter((one) => one === 'GET /private 200').length < 2) calls.push(...await called(1))
  t.strictSame([...new Set(calls)].sort(), ['GET /private 200', 'POST /refresh 200'], 'where both know that it has expired, they refresh one after the other')
  t.ok(calls.length <= 4)

  await press(one, '#logout')
  await Promise.all([one, other].map(isLoggedOut))
  t.strictSame(await called(1), ['POST /logout 204'])
  t.strictSame(await context.cookies(api), [])
  await other.reload()
  await says(other, 'Please log in.')
  t.strictSame(await called(1), ['POST /refresh 401'])

  await logIn(other)
  await Promise.all([one, other].map(isLoggedIn))
})

/** What any script of the page can read. */
function stored (tab: Page) {
  return tab.evaluate('[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie]')
}

/** The clock of the tab goes forward. */
async function passTime (tab: Page, ms: number) {
  await tab.evaluate(`{ const { now } = Date; Date.now = () => now() + ${ms} }`)
}

t.test('examples/browser: a wrong password, and a session that was ended elsewhere → the form, and a word of why', { skip: withoutChromium }, async (t) => {
  const { context, origin, path, called } = await start(t)
  const tab = await openTab(context, origin)
  await isLoggedOut(tab)
  await logIn(tab, 'wrong')
  await says(tab, 'The name or the password is wrong.')

  await logIn(tab)
  await isLoggedIn(tab)
  select(path, 'UPDATE sessions SET revoked_at = 1 RETURNING id')
  await called(4)
  await press(tab, '#open')
  await isLoggedOut(tab)
  await says(tab, 'Please log in.')
  t.strictSame(await called(2), ['GET /private 401', 'POST /refresh 401'])
})

t.test('examples/browser: the same page from an origin that is not listed → it can neither log in nor use the cookie: 403', { skip: withoutChromium }, async (t) => {
  const { api, context, origin, unlisted, path } = await start(t)
  const tab = await openTab(context, origin)
  await isLoggedOut(tab)
  await logIn(tab)
  await isLoggedIn(tab)

  const foreign = await openTab(context, unlisted)
  await says(foreign, 'Failed to fetch')
  const rejected = () => select(path, 'SELECT event FROM audit_events WHERE event = ?', 'malicious_cross_site').length
  t.equal(rejected(), 1, 'the browser sent the cookie, as from any page of localhost')
  await logIn(foreign)
  await says(foreign, 'Failed to fetch')
  t.equal(rejected(), 1, 'a login is not even sent: its preflight gets no leave')
  t.equal((await context.cookies(api)).length, 1)
  t.strictSame(select(path, 'SELECT generation, revoked_at FROM sessions'), [{ generation: 1, revoked_at: null }])
})
