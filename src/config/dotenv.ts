/** As Node reads it: what is quoted may have several lines. */
const ENTRY = /^[ \t]*(export[ \t]+)?[\w.-]+[ \t]*=[ \t]*("[^"]*"|'[^']*'|`[^`]*`)?.*$/gm

/**
 * The number of the first line of a `.env` that sets nothing and is no comment. Node would pass over it, or take it, and
 * the lines to the next `=`, for a name.
 */
export function wrongLine (text: string): number | undefined {
  const rest = text.replace(ENTRY, (entry) => entry.replace(/[^\n]/g, '')).split(/\r?\n/)
  const index = rest.findIndex((line) => !/^\s*(#.*)?$/.test(line))
  return index === -1 ? undefined : index + 1
}
