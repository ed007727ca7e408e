import t, { type Test } from 'tap'
import { openDatabase } from '../../src/db/open.ts'
import { folder, START } from '../fixtures/app.ts'
import { databaseIn } from '../fixtures/database.ts'
import { signingKeyRow } from '../fixtures/rows.ts'

async function open (t: Test) {
  const { store, close } = await openDatabase(databaseIn(folder(t)))
  t.teardown(close)
  return store
}

t.test('signing keys are read as they were written, the oldest activeFrom first', async (t) => {
  const store = await open(t)
  t.strictSame(await store.listSigningKeys(), [])
  const second = signingKeyRow('a', { activeFrom: START + 1, revokedAt: START + 2, alg: 'EdDSA' })
  const first = signingKeyRow('b', { activeFrom: 0 })
  t.strictSame(await store.insertSigningKey(second), second)
  t.strictSame(await store.insertSigningKey(first), first)
  t.strictSame(await store.listSigningKeys(), [first, second])
})

t.test('insertSigningKey for a moment, or a kid, that has a key → undefined, and that one stays', async (t) => {
  const store = await open(t)
  const keys = ['a', 'b', 'c'].map((kid) => signingKeyRow(kid, { activeFrom: 0 }))
  const inserted = await Promise.all(keys.map((key) => store.insertSigningKey(key)))
  const taken = inserted.flatMap((key) => key ?? [])
  t.equal(taken.length, 1, 'of several at once one is taken')
  t.equal(await store.insertSigningKey(signingKeyRow(String(taken[0]?.kid), { activeFrom: 5 })), undefined)
  t.strictSame(await store.listSigningKeys(), taken)
})

t.test('revokeSigningKey → true once; since when stays', async (t) => {
  const store = await open(t)
  await store.insertSigningKey(signingKeyRow('a'))
  await store.insertSigningKey(signingKeyRow('b', { activeFrom: START + 1 }))
  t.equal(await store.revokeSigningKey('a', START + 7), true)
  t.equal(await store.revokeSigningKey('a', START + 8), false)
  t.equal(await store.revokeSigningKey('nothing', START), false)
  t.strictSame((await store.listSigningKeys()).map(({ revokedAt }) => revokedAt), [START + 7, null])
})

t.test('rewrapSigningKey replaces the encrypted key and the secret it names, and no more', async (t) => {
  const store = await open(t)
  const key = signingKeyRow('a')
  await store.insertSigningKey(key)
  t.equal(await store.rewrapSigningKey({ kid: 'a', encryptedKey: 'anew', keyId: 'secret-2' }), true)
  t.strictSame(await store.listSigningKeys(), [{ ...key, encryptedKey: 'anew', keyId: 'secret-2' }])
  t.equal(await store.rewrapSigningKey({ kid: 'nothing', encryptedKey: 'anew', keyId: 'secret-2' }), false)
})
