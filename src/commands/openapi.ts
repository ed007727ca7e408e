import type { Command } from 'commander'
import { withExamples } from './examples.ts'
import type { Terminal } from './terminal.ts'

export function addOpenapiCommand (program: Command, terminal: Terminal) {
  withExamples(program.command('openapi').description('Print the contract of everything that can be switched on, as JSON')
    .option('--yaml', 'as YAML'), ['latchkey openapi > openapi.json', 'latchkey openapi --yaml > openapi.yaml'])
    .action(async ({ yaml }: { yaml?: true }) => {
      const [{ wholeContract }, { contractYaml }] = await Promise.all([import('../whole-contract.ts'), import('../contract-yaml.ts')])
      const contract = await wholeContract()
      terminal.print(yaml ? contractYaml(contract).trimEnd() : JSON.stringify(contract))
    })
}
