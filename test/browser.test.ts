import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { build } from './fixtures/app.ts'
import { launch, withoutChromium } from './fixtures/chromium.ts'

/** A page of a browser that reaches nothing but `origin`, whatever name that has; it tells what it asked for and complained of. */
async function openPage (t: Test, origin: string) {
  const { hostname } = new URL(origin)
  const browser = await launch(t, `--host-resolver-rules=MAP ${hostname} 127.0.0.1`)
  const page = await browser.newPage()
  const complaints: string[] = []
  const elsewhere: string[] = []
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) elsewhere.push(request.url()) })
  return { page, complaints, elsewhere }
}

/** Opens an operation, sends `body` (or what the page suggests) and gives the status and text that the page shows. */
async function tryOut (page: Page, operation: string, body?: object) {
  const block = page.locator(`#operations-${operation}`)
  await block.locator('.opblock-summary').click()
  if (body) await block.locator('textarea.body-param__text').fill(JSON.stringify(body))
  await block.locator('button.execute').click()
  const live = block.locator('.live-responses-table .response')
  await live.waitFor()
  const status = Number(await live.locator('.response-col_status').innerText())
  return { status, text: await live.locator('.highlight-code code').first().innerText() }
}

/** A service, and its Swagger UI in a browser; nothing is amiss with the page when the test is over. */
async function openDocs (t: Test, host: string, env: NodeJS.ProcessEnv = {}) {
  const app = await build(t, { env })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const origin = `http://${host}:${new URL(app.listeningOrigin).port}`
  const { page, complaints, elsewhere } = await openPage(t, origin)
  await page.goto(`${origin}/docs`)
  t.equal((await tryOut(page, 'Account-register')).status, 201, 'the suggested account is made')
  const nothingAmiss = () => {
    t.same(complaints, [], 'no error in the console')
    t.same(elsewhere, [], 'no request to elsewhere')
  }
  return { page, nothingAmiss }
}

t.test('Swagger UI: register, log in, Authorize, GET /private → "Access Granted!"', { skip: withoutChromium }, async (t) => {
  // With every header of a service that is reached by TLS.
  const { page, nothingAmiss } = await openDocs(t, '127.0.0.1', { LATCHKEY_PUBLIC_URL: 'https://auth.example.com' })
  t.equal(await page.title(), 'Latchkey')
  t.equal(await page.locator('meta[name=viewport]').getAttribute('content'), 'width=device-width')
  await page.locator('.topbar img').waitFor()
  // An image that cannot be decoded is rejected.
  t.equal(await page.evaluate("(async (image) => { await image.decode(); return image.naturalWidth })(document.querySelector('.topbar img'))"), 160)

  const login = await tryOut(page, 'Tokens-login', { username: 'ada', password: 'correct horse battery staple' })
  t.equal(login.status, 200)
  const { access_token: token } = JSON.parse(login.text)

  await page.locator('button.authorize').first().click()
  await page.locator('.auth-container input').fill(token)
  await page.locator('.auth-container button.authorize').click()
  await page.locator('.auth-container button.btn-done').click()
  const opened = await tryOut(page, 'Private-getPrivate')
  t.equal(opened.status, 200)
  t.match(opened.text, /Access Granted!/)
  nothingAmiss()
})

t.test('Swagger UI over plain HTTP by host name: register → 201', { skip: withoutChromium }, async (t) => {
  const { nothingAmiss } = await openDocs(t, 'auth.example.test')
  nothingAmiss()
})
