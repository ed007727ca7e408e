import { answer, Health, problems, type Routes } from '../src/schemas.ts'

const schema = (operationId: string, summary: string) => ({
  operationId,
  tags: ['Health'],
  summary,
  security: [],
  response: { 200: answer(Health, 'Yes.') },
  problems: problems()
})

const ok = { status: 'ok' as const }

export const health: Routes = async (app) => {
  app.get('/livez', { schema: schema('getLivez', 'Whether the process answers'), config: { limit: 'none' } }, async () => ok)

  app.get('/readyz', { schema: schema('getReadyz', 'Whether it can do its work: the database answers, a key signs, and it is not about to stop'), config: { limit: 'none' } }, async (request, reply) => {
    const fault = await whatIsMissing()
    if (fault === undefined) return ok
    request.log.warn(fault, 'not ready')
    return reply.problem('unavailable')
  })

  /** For the log alone: whoever asks learns that it is not ready, and no more. */
  async function whatIsMissing (): Promise<object | undefined> {
    if (app.isClosing()) return { missing: 'time', reason: 'the service is about to stop' }
    try {
      await app.db.ping()
      if (!await app.db.isMigrated()) return { missing: 'migrations', reason: 'the tables are those of an earlier release; a restart migrates them' }
    } catch (error) {
      return { missing: 'database', err: error }
    }
    return app.keys.signer() === undefined ? { missing: 'keys', reason: 'no signing key is active' } : undefined
  }
}
