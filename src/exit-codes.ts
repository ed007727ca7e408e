/** With what the programs end; docs/command-line.md tells the same. */
export const exitCodes = {
  done: 0,
  /** What was asked for was refused, or failed. */
  failed: 1,
  /** The command line was typed wrong. */
  usage: 2,
  /** A setting is wrong. */
  configuration: 3,
  /** The database cannot be reached, opened or written. */
  database: 4
} as const
