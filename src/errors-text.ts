import { catalogue, fieldCatalogue } from './errors.ts'

/** docs/errors.md, written from the catalogue. */
export function errorsPage (): string {
  const codes = Object.entries(catalogue).map(([code, { status, detail }]) => `| \`${code}\` | ${status} | ${detail} |`)
  const fields = Object.entries(fieldCatalogue).map(([code, detail]) => `| \`${code}\` | ${detail} |`)
  return `<!-- written by npm run docs -->
# Errors

Every error is \`application/problem+json\` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

\`\`\`json
{
  "type": "about:blank",
  "title": "Invalid request",
  "status": 400,
  "detail": "The request is not as this operation expects it; \`errors\` lists each field at fault.",
  "code": "invalid_request",
  "request_id": "c1f11bd0-16a5-4d48-bc60-6cae8b85c8a8",
  "errors": [{ "pointer": "/password", "code": "too_short", "detail": "This field is too short: 8 characters at least." }]
}
\`\`\`

Branch on \`code\`: it never changes, while the words may. \`request_id\` names the request in the service's log. What was sent is never echoed, and a 5xx does not say what broke.

| Code | Status | |
|---|---|---|
${codes.join('\n')}

A 401 carries \`WWW-Authenticate: Bearer realm="latchkey"\`, and with a bad access token \`error="invalid_token"\` too. A 429 and a 503 carry \`Retry-After\` in seconds, a 405 carries \`Allow\`.

## Fields

In a 400 \`invalid_request\`, \`errors\` has one entry for each field at fault; \`pointer\` is a JSON Pointer into the body, empty for the body as a whole.

| Code | |
|---|---|
${fields.join('\n')}
`
}
