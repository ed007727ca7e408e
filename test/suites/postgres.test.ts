import t from 'tap'
import { postgresReachable, postgresUrl } from '../fixtures/postgres.ts'
import { onBoth, onPostgresAlone, runTests } from '../fixtures/suite.ts'

// Nobody who only tries the service needs a server; CI has one.
if (!process.env['CI'] && !postgresReachable()) {
  t.pass('PostgreSQL is not reached', { skip: `no server answers at ${new URL(postgresUrl).host}; TEST_POSTGRES_URL names another` })
} else {
  process.env['TEST_DATABASE'] = 'postgres'
  t.comment(`on PostgreSQL at ${new URL(postgresUrl).host}`)
  await runTests((name) => onBoth(name) || onPostgresAlone(name))
}
