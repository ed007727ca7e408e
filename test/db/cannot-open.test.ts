import t from 'tap'
import { CannotOpen } from '../../src/db/cannot-open.ts'

const coded = (code: string) => Object.assign(new Error('raw message'), { code })

t.test('a database that cannot be opened is one line, which names the cause and its code', async (t) => {
  const line = (cause: unknown) => new CannotOpen(cause).message
  t.equal(line(coded('ECONNREFUSED')), 'DATABASE_URL: nobody listens there (ECONNREFUSED)')
  t.equal(line(coded('57P03')), 'DATABASE_URL: the server is starting up, or shutting down (57P03)')
  t.equal(line(coded('28000')), 'DATABASE_URL: the user is not let in (28000)')
  t.equal(line(new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')])), 'DATABASE_URL: nobody listens there (ECONNREFUSED)', 'a host of two addresses')
})

t.test('what the driver tells without a code has a plain word too', async (t) => {
  t.equal(new CannotOpen(new Error('timeout expired')).message, 'DATABASE_URL: the host does not answer')
})

t.test('a cause that has no name here is told in its own words', async (t) => {
  for (const cause of [coded('XX000'), coded('constructor'), new Error('raw message'), 'raw message']) {
    t.equal(new CannotOpen(cause).message, 'DATABASE_URL: raw message')
  }
})
