/** A key, its bow a keyhole: on dark ground as it is, on any ground in a square. */
const key = '<circle cx="11" cy="16" r="7" fill="none" stroke="#7fd6a4" stroke-width="4"/><path d="M18 16h11v6M24 16v4" fill="none" stroke="#7fd6a4" stroke-width="4"/>'

/** The icon of a tab. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="6" fill="#1b1b1b"/>${key}</svg>`

/** The icon and the name, for the bar above Swagger UI. */
export const logo = '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="32" viewBox="0 0 160 32">' +
  `${key}<text x="40" y="23" fill="#fff" font-family="system-ui, sans-serif" font-size="22" font-weight="600">Latchkey</text></svg>`
