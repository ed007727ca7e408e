import type { StaticDecode } from '@sinclair/typebox'
import { type TransformDecodeError, Value } from '@sinclair/typebox/value'
import { closest, distance } from 'fastest-levenshtein'
import { existsSync, readFileSync } from 'node:fs'
import { wrongLine } from './config/dotenv.ts'
import { Settings } from './config/settings.ts'
import { sharedSecretContradictions } from './config/shared-secret.ts'

type Values = StaticDecode<typeof Settings>

export type Config = Values & { publicUrl: string }

/** What stops the start; `message` is a line for the terminal, or one for each setting at fault. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

export type Setting = (typeof Settings.properties)[keyof typeof Settings.properties]

const names = Object.values(Settings.properties).map(envName)

/** Of a name that nobody knows, so much may be otherwise in the one that is meant. */
const FARTHEST = 0.4

/** What Kubernetes puts into the environment for a service that is itself called latchkey; its port is a URL, that of a person a number. */
const injectedByKubernetes = /^LATCHKEY_(SERVICE_|PORT_|PORT=(tcp|udp|sctp):\/\/)/

/**
 * Reads every setting from `env`; an empty one counts as absent.
 * @throws ConfigError naming each setting that is unknown or unreadable, or each that contradicts another.
 */
export function loadConfig (env: NodeJS.ProcessEnv = environment()): Config {
  const given = Object.entries(Settings.properties).flatMap(([key, schema]) => {
    const text = env[envName(schema)] || schema['default']
    return text === undefined ? [] : [{ key, name: envName(schema), ...decode(schema, text) }]
  })
  const unreadable = given.flatMap(({ name, fault }) => fault === null ? [] : [`${name}: ${fault}`])
  refuse([...unknownNames(env), ...unreadable])
  // Each value was decoded by the schema of its key, and those without a default are optional.
  const settings = Object.fromEntries(given.map(({ key, value }) => [key, value])) as Values
  const config = { ...settings, publicUrl: settings.publicUrl ?? `http://localhost:${settings.port}` }
  refuse(contradictions(config))
  return config
}

/** The process's environment; a `.env` in the working directory fills in what it lacks. */
export function environment (): NodeJS.ProcessEnv {
  if (!existsSync('.env')) return process.env
  const line = wrongLine(dotenv())
  if (line !== undefined) throw new ConfigError(`.env: expected lines of the form NAME=value; line ${line} is of another`)
  process.loadEnvFile('.env')
  return process.env
}

function dotenv (): string {
  try {
    return readFileSync('.env', 'utf8')
  } catch {
    throw new ConfigError('.env: expected a file that can be read')
  }
}

/** What is printed of any other may be a secret that a colon or a blank made part of it. */
const isName = (text: string) => /^\w+$/.test(text)

export function envName (setting: Setting): string {
  return String(setting['env'])
}

/** What the text of a setting says, and what is wrong with it. */
export function decode (schema: Setting, text: string): { value?: unknown, fault: string | null } {
  try {
    return { value: Value.Decode(schema, text), fault: null }
  } catch (error) {
    // TypeBox wraps what a decoder throws; a string, which every value is, fails in no other way.
    return { fault: (error as TransformDecodeError).error.message }
  }
}

function unknownNames (env: NodeJS.ProcessEnv): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('LATCHKEY_') && !names.includes(name) && !injectedByKubernetes.test(`${name}=${env[name]}`))
    .map((name) => isName(name) ? `${name}: no such setting; ${advice(name)}` : 'LATCHKEY_…: expected names of letters, digits and _')
}

/** The prefix is not compared: some settings have none, and it would make any two names alike. */
function advice (unknown: string): string {
  const wanted = bare(unknown.toUpperCase())
  const nearest = closest(wanted, names.map(bare))
  if (distance(wanted, nearest) > FARTHEST * wanted.length) return 'latchkey config shows them all'
  return `did you mean ${names.find((name) => bare(name) === nearest)}?`
}

const bare = (name: string) => name.replace(/^LATCHKEY_/, '')

function contradictions (config: Config): string[] {
  const { accessTtl, sessionIdle, sessionMax, refreshGrace, refreshRecovery, secret, secretFallbacks, audience } = config
  const possible: [boolean, string][] = [
    [audience.length === 0, 'LATCHKEY_AUDIENCE: expected at least one name'],
    // With a user's claims (1 KiB) a token then stays under its 4 KiB.
    [Buffer.byteLength(JSON.stringify(audience)) > 500, 'LATCHKEY_AUDIENCE: expected no more than 500 bytes of JSON'],
    [config.publicUrl.length > 250, 'LATCHKEY_PUBLIC_URL: expected no more than 250 characters'],
    [sessionIdle > sessionMax, 'LATCHKEY_SESSION_IDLE: expected no more than LATCHKEY_SESSION_MAX'],
    [accessTtl > sessionIdle, 'LATCHKEY_ACCESS_TTL: expected no more than LATCHKEY_SESSION_IDLE'],
    [refreshRecovery > 0 && refreshGrace > refreshRecovery, 'LATCHKEY_REFRESH_GRACE: expected no more than LATCHKEY_REFRESH_RECOVERY'],
    [config.cookies && !isSecure(config.publicUrl), 'LATCHKEY_COOKIES: expected LATCHKEY_PUBLIC_URL to be https, or http on localhost'],
    [secret !== undefined && secretFallbacks.includes(secret), 'LATCHKEY_SECRET_FALLBACKS: expected earlier secrets, not LATCHKEY_SECRET itself'],
    ...sharedSecretContradictions(config)
  ]
  return possible.filter(([contradicts]) => contradicts).map(([, line]) => line)
}

function refuse (lines: string[]) {
  if (lines.length > 0) throw new ConfigError(lines.join('\n'))
}

/** The service is reached by TLS. */
export const isHttps = (publicUrl: string) => publicUrl.startsWith('https:')

/** Nobody is on the way: TLS, or localhost, which browsers take for as good; elsewhere they keep no secure cookie. */
export function isSecure (publicUrl: string): boolean {
  return isHttps(publicUrl) || ['localhost', '127.0.0.1', '[::1]'].includes(new URL(publicUrl).hostname)
}
