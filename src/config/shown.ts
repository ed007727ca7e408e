import { decode, envName, type Setting } from '../config.ts'
import { Settings } from './settings.ts'

/** A type, not an interface: it can be shown like any row. */
type ShownSetting = {
  setting: string
  /** As it was written; null when there is none. */
  value: string | null
  /** Who says so: the environment (or a `.env`), the default, or nobody. */
  source: 'environment' | 'default' | null
  /** What is wrong with it. */
  fault: string | null
}

const HIDDEN = '(hidden)'

/** Every setting as it is in force, without its secrets. One that is wrong does not keep the others from being shown. */
export function shownSettings (env: NodeJS.ProcessEnv): ShownSetting[] {
  return Object.values(Settings.properties).map((schema) => {
    const setting = envName(schema)
    const value = env[setting] || schema['default']
    const fault = value === undefined ? null : decode(schema, value).fault
    return { setting, value: shown(schema, value, fault), source: env[setting] ? 'environment' : value === undefined ? null : 'default', fault }
  })
}

/** A value that cannot be read may be a secret that got into the wrong place. */
function shown (schema: Setting, value: string | undefined, fault: string | null): string | null {
  if (!value) return null
  if (fault !== null || schema['hidden'] === 'all') return HIDDEN
  return schema['hidden'] === 'credentials' && !value.startsWith('file:') ? withoutCredentials(new URL(value)) : value
}

function withoutCredentials ({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`
}
