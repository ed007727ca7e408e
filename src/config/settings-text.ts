import { Settings } from './settings.ts'

const BEGIN = '<!-- settings: written by npm run docs -->'
const END = '<!-- end of settings -->'

interface Row {
  env: string
  default: string | undefined
  description: string
}

function rows (): Row[] {
  return Object.values(Settings.properties).map((setting) => ({
    env: setting['env'],
    // It follows from the machine, so that the text is the same on all.
    default: setting['env'] === 'LATCHKEY_HASH_THREADS' ? undefined : setting['default'],
    description: String(setting['description'])
  }))
}

/** `.env.example`: every setting, commented out, with its default. */
export function envExample (): string {
  const blocks = rows().map(({ env, default: value, description }) => `# ${description.replaceAll('`', '')}\n#${env}=${value ?? ''}\n`)
  return `# Copy to .env and uncomment what you change. A variable of the environment wins over this file.\n\n${blocks.join('\n')}`
}

/** The README with its table of settings brought up to date. */
export function withSettings (readme: string): string {
  const lines = rows().map(({ env, default: value, description }) => `| \`${env}\` | ${value ? `\`${value}\`` : ''} | ${description} |`)
  const table = ['| Setting | Default | |', '|---|---|---|', ...lines].join('\n')
  const [before, rest = ''] = readme.split(BEGIN)
  const [, after] = rest.split(END)
  return `${before}${BEGIN}\n${table}\n${END}${after}`
}
