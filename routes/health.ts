import { answer, problems } from '../src/responses.ts'
import { Health, type Routes } from '../src/schemas.ts'

const schema = (operationId: string, summary: string, description: string) => ({
  operationId,
  tags: ['Health'],
  summary,
  description,
  security: [],
  response: { 200: answer(Health, 'Yes.') },
  problems: problems()
})

const livez = schema('getLivez', 'Whether the process answers', 'When it does not, restart it.')
const readyz = schema('getReadyz', 'Whether it can do its work', 'The database answers, a key signs, and it is not about to stop. When it is not so, send requests elsewhere.')

const ok = { status: 'ok' as const }

export const health: Routes = async (app) => {
  app.get('/livez', { schema: livez, config: { limit: 'none' } }, async () => ok)

  app.get('/readyz', { schema: readyz, config: { limit: 'none' } }, async (request, reply) => {
    const fault = await whyNotReady()
    if (fault === undefined) return ok
    request.log.warn(fault, 'not ready')
    return reply.problem('unavailable')
  })

  /** For the log alone: whoever asks learns that it is not ready, and no more. */
  async function whyNotReady (): Promise<object | undefined> {
    if (app.isClosing()) return { reason: 'the service is about to stop' }
    try {
      await app.db.ping()
      if (!await app.db.isMigrated()) return { missing: 'migrations', reason: 'the tables are those of an earlier release; a restart migrates them' }
    } catch (error) {
      return { missing: 'database', err: error }
    }
    return app.keys.signer() === undefined ? { missing: 'keys', reason: 'no signing key is active' } : undefined
  }
}
