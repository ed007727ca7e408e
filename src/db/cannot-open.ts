/** By SQLSTATE, or by the code that Node gives. */
const causes = new Map(Object.entries({
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the host cannot be reached',
  ETIMEDOUT: 'the host does not answer',
  ENOENT: 'there is no socket at that path',
  EACCES: 'the socket may not be used',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by nobody we trust; see sslrootcert',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by nobody we trust; see sslrootcert',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by nobody we trust; see sslrootcert',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  28000: 'the user is not let in',
  '28P01': 'the password is wrong',
  '3D000': 'there is no such database; create it first',
  '3F000': 'there is no schema to put tables into',
  42501: 'the user may not create tables there',
  53300: 'the server has no connection left',
  '57P03': 'the server is starting up, or shutting down'
}))

/** By the driver's words, where it gives no code. */
const words = new Map(Object.entries({
  'timeout expired': 'the host does not answer',
  'Connection terminated due to connection timeout': 'the host does not answer',
  'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string': 'the user needs a password'
}))

/** The database cannot be opened; `message` is one line for the terminal. It never repeats the URL, which holds a password. */
export class CannotOpen extends Error {
  override name = 'CannotOpen'

  constructor (cause: unknown) {
    super(`DATABASE_URL: ${reason(cause)}`, { cause })
  }
}

function reason (error: unknown): string {
  // Node tries every address of a host, and gives the errors of all.
  if (error instanceof AggregateError) return reason(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  const cause = causes.get(code)
  return cause === undefined ? words.get(error.message) ?? error.message : `${cause} (${code})`
}
