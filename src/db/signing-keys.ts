import { and, asc, eq, isNull } from 'drizzle-orm'
import type { Dialect } from './dialect.ts'
import { one, p, placeholders, set, some } from './statements.ts'
import type { Tables } from './tables.ts'

export type SigningKey = Tables['signingKeys']['$inferSelect']

export function signingKeyQueries ({ db, read, write }: Dialect, { signingKeys }: Tables) {
  const insert = write('insert_signing_key',
    db.insert(signingKeys).values(placeholders(signingKeys)).onConflictDoNothing().returning())
  const list = read('list_signing_keys', db.select().from(signingKeys).orderBy(asc(signingKeys.activeFrom)))
  const revoke = write('revoke_signing_key',
    db.update(signingKeys).set({ revokedAt: set('now') })
      .where(and(eq(signingKeys.kid, p('kid')), isNull(signingKeys.revokedAt))).returning({ kid: signingKeys.kid }))
  const rewrap = write('rewrap_signing_key',
    db.update(signingKeys).set({ encryptedKey: set('encryptedKey'), keyId: set('keyId') })
      .where(eq(signingKeys.kid, p('kid'))).returning({ kid: signingKeys.kid }))

  return {
    /** Undefined when another process has put a key at the same moment; that one is as good. */
    insertSigningKey: async (key: SigningKey) => one(await insert(key)),
    /** All keys, the oldest `activeFrom` first. */
    listSigningKeys: () => list({}),
    revokeSigningKey: async (kid: string, now: number) => some(await revoke({ kid, now })),
    rewrapSigningKey: async (values: Pick<SigningKey, 'kid' | 'encryptedKey' | 'keyId'>) => some(await rewrap(values))
  }
}
