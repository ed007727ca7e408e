/**
 * A part that the service needs cannot answer now; the caller may try again (503). Of the database: it is locked, full or gone.
 * What it wrote is undone; but when the disk has failed to keep a transaction, and the process dies before the next one,
 * the transaction may be found done after all.
 */
export class Unavailable extends Error {
  override name = 'Unavailable'

  constructor (cause: unknown, part = 'the database') {
    super(`${part} is unavailable`, { cause })
  }
}
