import { readFileSync, writeFileSync } from 'node:fs'
import { envExample, withSettings } from './config/settings-text.ts'
import { errorsPage } from './errors-text.ts'

/** Writes the README's table of settings, .env.example and docs/errors.md: `npm run docs`. */
writeFileSync('README.md', withSettings(readFileSync('README.md', 'utf8')))
writeFileSync('.env.example', envExample())
writeFileSync('docs/errors.md', errorsPage())
