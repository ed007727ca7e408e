import { stringify } from 'yaml'

/** The contract as YAML: no anchors, no folded lines, so that a change shows as a change. */
export function contractYaml (contract: object): string {
  return stringify(JSON.parse(JSON.stringify(contract)), { aliasDuplicateObjects: false, lineWidth: 0 })
}
