import t from 'tap'
import { openDatabase, type User } from '../../src/db/open.ts'
import { Unavailable } from '../../src/unavailable.ts'
import { folder, START } from '../fixtures/app.ts'
import { databaseIn } from '../fixtures/database.ts'
import { userRow } from '../fixtures/rows.ts'

const { store, close } = await openDatabase(databaseIn(folder(t)))
t.teardown(close)

async function insert (name: string, more: Partial<User> = {}): Promise<User> {
  const user = await store.insertUser(userRow(name, more))
  if (user === undefined) throw new Error(`${name} is taken`)
  return user
}

/** What a user has become, column by column. */
async function changes (user: User): Promise<Partial<User>> {
  const now: Record<string, unknown> = { ...await store.findUser(user.id) }
  return Object.fromEntries(Object.entries(now).filter(([column, value]) => value !== Object.entries(user).find(([one]) => one === column)?.[1]))
}

t.test('a user is read as it was written, by id, username or e-mail', async (t) => {
  const full = userRow('full', {
    email: 'Full@Example.com',
    emailKey: 'full@example.com',
    emailVerified: true,
    claims: '{"admin":true}',
    externalId: '42',
    sessionEpoch: 7,
    keptSession: 's',
    disabledAt: START + 1,
    lastLoginAt: START + 2
  })
  t.strictSame(await store.insertUser(full), full)
  t.strictSame(await store.findUser('id-full'), full)
  t.strictSame(await store.findUserByUsername('full'), full)
  t.strictSame(await store.findUserByEmail('full@example.com'), full)

  const bare = userRow('bare')
  t.strictSame(await store.insertUser(bare), bare)
  t.strictSame(await store.findUserByUsername('bare'), bare)
  t.strictSame([await store.findUser('x'), await store.findUserByUsername('x'), await store.findUserByEmail('x')], [undefined, undefined, undefined])
})

t.test('insertUser: a name, an e-mail or an external id that is taken → undefined, and the first user stays; a missing value takes none', async (t) => {
  const first = await insert('first', { emailKey: 'first@example.com', externalId: 'ext-1' })
  t.equal(await store.insertUser(userRow('second', { usernameKey: 'first' })), undefined)
  t.equal(await store.insertUser(userRow('second', { emailKey: 'first@example.com' })), undefined)
  t.equal(await store.insertUser(userRow('second', { externalId: 'ext-1' })), undefined)
  t.equal(await store.insertUser(userRow('second', { id: first.id })), undefined)
  t.equal(await store.findUser('id-second'), undefined)
  t.strictSame(await changes(first), {})
  await insert('third')
  await insert('fourth')
})

t.test('insertUser of one name, ten times at once → one user', async (t) => {
  const inserted = await Promise.all(Array.from({ length: 10 }, (_, n) => store.insertUser(userRow('race', { id: `race-${n}` }))))
  t.equal(inserted.filter((user) => user !== undefined).length, 1)
})

t.test('insertUser without a value that has to be there fails for that one alone', async (t) => {
  // What no caller that is typed can do.
  const broken = Object.assign(userRow('broken'), { passwordHash: null })
  const [one, other] = await Promise.allSettled([store.insertUser(broken), store.insertUser(userRow('whole'))])
  t.equal(one.status, 'rejected')
  t.notOk(one.status === 'rejected' && one.reason instanceof Unavailable)
  t.equal(other.status, 'fulfilled')
})

t.test('listUsers gives page after page, in the order of the ids', async (t) => {
  const other = await openDatabase(databaseIn(folder(t)))
  t.teardown(other.close)
  for (const name of ['c', 'a', 'e', 'b', 'd']) await other.store.insertUser(userRow(name))
  const pages = []
  for (let after = '', page = await other.store.listUsers(after, 2); page.length > 0; page = await other.store.listUsers(after, 2)) {
    pages.push(page.map(({ username }) => username))
    after = page.at(-1)?.id ?? ''
  }
  t.strictSame(pages, [['a', 'b'], ['c', 'd'], ['e']])
})

t.test('recordLogin keeps the time, and no more; not when the user was disabled, or their sessions were ended, since they were read', async (t) => {
  const user = await insert('visitor')
  await store.recordLogin(user, START + 5)
  t.strictSame(await changes(user), { lastLoginAt: START + 5 })
  await store.recordLogin({ ...user, id: 'nobody' }, START)
  for (const [name, end] of Object.entries({ 'ended since': store.endSessionsOfUser, 'disabled since': (id: string) => store.disableUser(id, START) })) {
    const before = await insert(name)
    await end(before.id)
    await store.recordLogin(before, START + 5)
    t.equal((await store.findUser(before.id))?.lastLoginAt, null)
  }
  const disabled = await insert('long disabled', { disabledAt: START })
  await store.recordLogin(disabled, START + 5)
  t.strictSame(await changes(disabled), {})
})

t.test('upgradeHash replaces the hash that was read; one that has changed since stays', async (t) => {
  const user = await insert('upgraded', { passwordHash: 'old', sessionEpoch: 3, keptSession: 's' })
  t.equal(await store.upgradeHash(user.id, 'other', 'new'), false)
  t.strictSame(await changes(user), {})
  t.equal(await store.upgradeHash(user.id, 'old', 'new'), true)
  t.strictSame(await changes(user), { passwordHash: 'new' }, 'no session ends')
  t.equal(await store.upgradeHash(user.id, 'old', 'newer'), false)
  t.equal(await store.upgradeHash('nobody', 'old', 'new'), false)
})

t.test('changePassword moves the epoch on and keeps one session; for a disabled user or another epoch it does nothing', async (t) => {
  const user = await insert('changing', { sessionEpoch: 3 })
  const change = (values: object) => store.changePassword({ id: user.id, epoch: 3, hash: 'new', session: 's', ...values })
  t.equal(await change({ epoch: 2 }), false)
  t.equal(await change({ epoch: 4 }), false)
  t.equal(await change({ id: 'nobody' }), false)
  t.strictSame(await changes(user), {})
  t.equal(await change({}), true)
  t.strictSame(await changes(user), { passwordHash: 'new', sessionEpoch: 4, keptSession: 's' })
  t.equal(await change({}), false, 'once for each epoch')

  await store.disableUser(user.id, START)
  t.equal(await change({ epoch: 5 }), false)
})

t.test('changePassword from one epoch, ten times at once → one of them', async (t) => {
  const user = await insert('contested')
  const changed = await Promise.all(Array.from({ length: 10 }, (_, n) => store.changePassword({ id: user.id, epoch: 0, hash: `hash-${n}`, session: `${n}` })))
  const winner = changed.indexOf(true)
  t.equal(changed.filter((one) => one).length, 1)
  t.strictSame(await changes(user), { passwordHash: `hash-${winner}`, sessionEpoch: 1, keptSession: `${winner}` })
})

t.test('endSessionsOfUser moves the epoch on and keeps no session', async (t) => {
  const user = await insert('leaving', { keptSession: 's' })
  t.equal(await store.endSessionsOfUser(user.id), true)
  t.strictSame(await changes(user), { sessionEpoch: 1, keptSession: null })
  t.equal(await store.endSessionsOfUser('nobody'), false)
})

t.test('disableUser ends the sessions too, once; enableUser brings the user back, not the sessions', async (t) => {
  const user = await insert('disabled', { keptSession: 's' })
  t.equal(await store.disableUser(user.id, START + 9), true)
  t.strictSame(await changes(user), { disabledAt: START + 9, sessionEpoch: 1, keptSession: null })
  t.equal(await store.disableUser(user.id, START + 10), false)
  t.strictSame(await changes(user), { disabledAt: START + 9, sessionEpoch: 1, keptSession: null }, 'since when stays')
  t.equal(await store.enableUser(user.id), true)
  t.strictSame(await changes(user), { sessionEpoch: 1, keptSession: null })
  t.equal(await store.enableUser(user.id), false)
  t.strictSame([await store.disableUser('nobody', START), await store.enableUser('nobody')], [false, false])
})

t.test('setClaims replaces the claims', async (t) => {
  const user = await insert('claimant', { claims: '{"a":1}' })
  t.equal(await store.setClaims(user.id, '{"b":"ü"}'), true)
  t.strictSame(await changes(user), { claims: '{"b":"ü"}' })
  t.equal(await store.setClaims('nobody', '{}'), false)
})
