import type { Command } from 'commander'
import { listKeys, revokeKey, rotateKey } from '../key-rotation.ts'
import { record, type Terminal, UsageError, withKeys } from './terminal.ts'

export function addKeyCommands (program: Command, terminal: Terminal) {
  const keys = program.command('keys').description('The keys that sign access tokens')

  keys.command('list').description('Show every key and the part it plays').action(() => withKeys(terminal, async (dependencies) => {
    for (const { kid, alg, state, activeFrom } of await listKeys(dependencies)) {
      terminal.print(`${kid}  ${alg}  ${state.padEnd(8)}  from ${activeFrom === 0 ? 'the start' : new Date(activeFrom).toISOString()}`)
    }
  }))

  keys.command('rotate').description('Announce a new key; it signs six minutes later')
    .option('--now', 'let it sign at once: for a compromise')
    .action(({ now: immediately = false }: { now?: boolean }) => withKeys(terminal, async (dependencies) => {
      const key = await rotateKey(dependencies, { immediately })
      if (key === undefined) throw new UsageError('another process rotated at this very moment; see latchkey keys list')
      await record(dependencies, 'signing_key_rotated', { details: { kid: key.kid, alg: key.alg, activeFrom: key.activeFrom } })
      terminal.print(`${key.kid} signs from ${new Date(key.activeFrom).toISOString()}`)
    }))

  keys.command('revoke').description('Let a key verify nothing any more: for a compromise').argument('<kid>')
    .action((kid: string) => withKeys(terminal, async (dependencies) => {
      if (!await revokeKey(dependencies, kid)) throw new UsageError('there is no such key, or it is revoked; see latchkey keys list')
      await record(dependencies, 'signing_key_revoked', { details: { kid } })
      terminal.print(`${kid} is revoked; the service knows within 30 seconds`)
    }))
}
