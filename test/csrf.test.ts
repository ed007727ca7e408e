import t from 'tap'
import { isOwnPage } from '../src/csrf.ts'

const OWN = 'https://auth.example.com'
const ALLOWED = [OWN, 'https://app.example.com', 'http://localhost:5173']

/** What browsers say in Sec-Fetch-Site, and what they never do. */
const SITES = ['same-origin', 'same-site', 'cross-site', 'none', undefined, '', 'same-origin, cross-site', 'SAME-ORIGIN']

for (const origin of ALLOWED) {
  t.test(`a request from ${origin} → our own page, unless the browser calls it cross-site`, async (t) => {
    for (const site of SITES) t.equal(isOwnPage({ origin, site }, ALLOWED), site !== 'cross-site', String(site))
  })
}

const foreign = [
  'https://evil.example', 'null', '', OWN.toUpperCase(), `${OWN}/`, `${OWN}:443`, `${OWN}.evil.example`, 'http://auth.example.com', 'https://auth.example.com:8443', 'https://evil.example/https://auth.example.com',
  'https://sub.app.example.com', 'http://localhost', `${OWN}, ${OWN}`, `${OWN} `, 'https://auth-example.com'
]

for (const origin of foreign) {
  t.test(`a request from ${JSON.stringify(origin)} → no page of ours, whatever else it says`, async (t) => {
    for (const site of SITES) t.equal(isOwnPage({ origin, site }, ALLOWED), false, String(site))
  })
}

t.test('a request without Origin → our own page only where the browser says same-origin', async (t) => {
  for (const site of SITES) t.equal(isOwnPage({ origin: undefined, site }, ALLOWED), site === 'same-origin', String(site))
})

t.test('nothing is allowed → nothing is our own page but what is same-origin without Origin', async (t) => {
  t.equal(isOwnPage({ origin: OWN, site: 'same-origin' }, []), false)
  t.equal(isOwnPage({ origin: undefined, site: 'same-origin' }, []), true)
})
