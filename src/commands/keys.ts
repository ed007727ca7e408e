import type { Command } from 'commander'
import { ofSharedSecret } from '../algorithms.ts'
import { listKeys, revokeKey, rotateKey } from '../key-rotation.ts'
import { withExamples } from './examples.ts'
import { outputOf, time } from './output.ts'
import { record, Refused, type Terminal, withKeys } from './terminal.ts'

export function addKeyCommands (program: Command, terminal: Terminal) {
  const keys = program.command('keys').description('The keys that sign access tokens')
  const { done, list, note } = outputOf(program, terminal)

  withExamples(keys.command('list').description('Show every key and the part it plays'), ['latchkey keys list'])
    .action(() => withKeys(terminal, async (dependencies) => {
      const all = await listKeys(dependencies)
      // The key of the first start has signed from the beginning.
      await list(all.map(({ kid, alg, state, activeFrom }) => ({ kid, alg, state, from: time(activeFrom || null) })), ['kid', 'alg', 'state', 'from'])
      const { algorithm } = dependencies.settings
      if (ofSharedSecret(algorithm)) note(`${algorithm}: access tokens are signed with LATCHKEY_HS_SECRET, and with none of these`)
    }))

  withExamples(keys.command('rotate').description('Announce a new key; it signs six minutes later')
    .option('--now', 'let it sign at once: for a compromise'), ['latchkey keys rotate', 'latchkey keys rotate --now'])
    .action(({ now: immediately = false }: { now?: boolean }) => withKeys(terminal, async (dependencies) => {
      const key = await rotateKey(dependencies, { immediately })
      if (key === undefined) throw new Refused('another process rotated at this very moment; see latchkey keys list')
      const { kid, alg, activeFrom } = key
      await record(dependencies, 'signing_key_rotated', { details: { kid, alg, active_from: time(activeFrom) } })
      done(`${kid} signs from ${time(activeFrom)}`, { kid, alg, from: time(activeFrom) })
    }))

  withExamples(keys.command('revoke').description('Let a key verify nothing any more: for a compromise').argument('<kid>', 'as keys list shows it'),
    ['latchkey keys revoke mS-OILPp3GkRLZQy8kFRUcsyPBVGDT8LmPP_JwcSaVk'])
    .action((kid: string) => withKeys(terminal, async (dependencies) => {
      if (!await revokeKey(dependencies, kid)) throw new Refused('there is no such key, or it is revoked; see latchkey keys list')
      await record(dependencies, 'signing_key_revoked', { details: { kid } })
      done(`${kid} is revoked; the service knows within 30 seconds`, { kid })
    }))
}
