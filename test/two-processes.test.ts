import t from 'tap'
import { folder, PASSWORD } from './fixtures/app.ts'
import { rowOf } from './fixtures/refresh.ts'
import { type Replica, startReplicas } from './fixtures/replicas.ts'
import { times } from './fixtures/sockets.ts'

const ROUNDS = 3

/** Servers, each a process of its own: on SQLite over one file, on PostgreSQL over one database. */
const path = folder(t)
// Both were asked for.
const [one, other] = await startReplicas(t, 2, path) as [Replica, Replica]

/** Fifty times at once, at each in turn. */
const fifty = <T>(work: (replica: Replica) => Promise<T>) => Promise.all(times(50, (i) => work(i % 2 === 0 ? one : other)))

t.test('POST /refresh of one token fifty times at once to two processes → one rotation, and 200 with one and the same token for all', async (t) => {
  const credentials = { username: 'refreshing', password: PASSWORD }
  await one.post('/register', credentials)
  let { body: { refresh_token: token = '' } } = await one.post('/login', credentials)
  for (let round = 1; round <= ROUNDS; round++) {
    const answers = await fifty(({ post }) => post('/refresh', { refresh_token: token }))
    t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
    t.equal(new Set(answers.map(({ body }) => body.refresh_token)).size, 1)
    t.match(rowOf(path, token), { generation: round + 1, previous: round, first: round + 1 })
    const used = await Promise.all(answers.map(({ body }, i) => (i % 2 === 0 ? other : one).private(body.access_token)))
    t.strictSame(new Set(used), new Set([200]), 'each access token is good at the other process')
    token = answers[0]?.body.refresh_token ?? ''
  }
})

t.test('POST /register of one name fifty times at once to two processes → one 201, and 409 for the rest', async (t) => {
  for (let round = 1; round <= ROUNDS; round++) {
    const answers = await fifty(({ post }) => post('/register', { username: `wanted-${round}`, password: PASSWORD }))
    t.strictSame(answers.map(({ status }) => status).sort(), [201, ...times(49, () => 409)])
    t.strictSame(new Set(answers.map(({ body }) => body.code)), new Set([undefined, 'username_taken']))
  }
})
