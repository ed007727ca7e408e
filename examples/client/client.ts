// A typed client, generated from the contract:
//   npx openapi-typescript http://localhost:3000/openapi.json -o schema.d.ts
import createClient from 'openapi-fetch'
import type { paths } from './schema.js'

const client = createClient<paths>({ baseUrl: process.env['AUTH_URL'] ?? 'http://localhost:3000' })
const credentials = { username: 'grace', password: 'nanoseconds are 30 cm long' }

const registered = await client.POST('/register', { body: credentials })
// `error` is typed too: its `code` is one of the catalogue's.
if (registered.error && registered.error.code !== 'username_taken') throw new Error(registered.error.detail)

const { data: tokens, error } = await client.POST('/login', { body: credentials })
if (error) throw new Error(error.detail)

const opened = await client.GET('/private', { headers: { authorization: `Bearer ${tokens.access_token}` } })
console.log(opened.data?.message)

const { data: fresh } = await client.POST('/refresh', { body: { refresh_token: tokens.refresh_token } })
if (!fresh) throw new Error('the session is over: log in again')
console.log(`${fresh.token_type} token for ${fresh.expires_in > 600 ? 'more than ten minutes' : 'a moment'}`)

const { response } = await client.POST('/logout', { body: { refresh_token: fresh.refresh_token } })
console.log(response.status)
