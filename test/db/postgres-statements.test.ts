import { Client } from 'pg'
import t, { type Test } from 'tap'
import { bearer, build, folder, getPrivate, post, refresh, registerAndLogin } from '../fixtures/app.ts'

const app = await build(t, { path: folder(t) })
const ada = await registerAndLogin(app)

/** The statements of a request, by their names; each is asked for once before, so that no connection has to be made. */
async function statements (t: Test, request: () => Promise<{ statusCode: number }>): Promise<string[]> {
  const found: string[] = []
  const { query } = Client.prototype
  const watch = t.intercept(Client.prototype, 'query', {
    value: function (this: Client, ...args: Parameters<typeof query>) {
      // Every statement of the service is prepared, and so an object; any other would be found as it is.
      const [{ name }] = args as unknown as [{ name?: string }]
      found.push(name ?? String(args[0]))
      return query.apply(this, args)
    }
  })
  t.equal(Math.floor((await request()).statusCode / 100), 2)
  watch.restore()
  // Every 30 s an application reads its keys, whoever asks meanwhile.
  return found.filter((name) => name !== 'list_signing_keys')
}

t.test('GET /private → 200, for one SELECT', async (t) => {
  t.strictSame(await statements(t, () => getPrivate(app, ada.access_token)), ['is_live_session'])
})

t.test('GET /me, GET /sessions → 200, for one SELECT more', async (t) => {
  t.strictSame(await statements(t, () => app.inject({ url: '/me', headers: bearer(ada.access_token) })), ['is_live_session', 'user_of_live_session'])
  t.strictSame(await statements(t, () => app.inject({ url: '/sessions', headers: bearer(ada.access_token) })), ['is_live_session', 'list_sessions'])
})

t.test('POST /refresh → 200, for one UPDATE; a retry reads the row beside', async (t) => {
  t.strictSame(await statements(t, () => refresh(app, ada.refresh_token)), ['rotate_session'])
  t.strictSame(await statements(t, () => refresh(app, ada.refresh_token)), ['rotate_session', 'find_session'])
})

t.test('POST /logout → 204, for one UPDATE and what is recorded of it', async (t) => {
  t.strictSame(await statements(t, () => post(app, '/logout', { refresh_token: ada.refresh_token })), ['revoke_session', 'insert_audit_event'])
})
