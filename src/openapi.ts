import { writeFileSync } from 'node:fs'
import { contractYaml } from './contract-yaml.ts'
import { wholeContract } from './whole-contract.ts'

/** Writes openapi.yaml from the routes: `npm run openapi`. */
writeFileSync('openapi.yaml', contractYaml(await wholeContract()))
