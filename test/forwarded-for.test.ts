import fc from 'fast-check'
import t from 'tap'
import { forwardedAddresses } from '../src/forwarded-for.ts'

t.test('addresses stay; ports and brackets go; what is no address goes, and all that was written before it', async (t) => {
  const cases: [string, string][] = [
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, 2001:db8::2', '203.0.113.7, 2001:db8::2'],
    ['203.0.113.7:5555', '203.0.113.7'],
    ['[2001:db8::2]:443,[2001:db8::3]', '2001:db8::2, 2001:db8::3'],
    ['garbage', ''],
    ['', ''],
    ['198.51.100.1, unknown, 203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, ', ''],
    ['1.2.3.4.5, 300.1.1.1:80, [::1', '']
  ]
  for (const [header, addresses] of cases) t.equal(forwardedAddresses(header), addresses, header)
})

t.test('whatever was written, what is left are the last addresses of it', async (t) => {
  const entry = fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4().map((ip) => `${ip}:443`), fc.ipV6().map((ip) => `[${ip}]:1`), fc.string().filter((text) => !text.includes(',')))
  fc.assert(fc.property(fc.array(entry), fc.array(fc.ipV4(), { minLength: 1 }), (before, last) => {
    const left = forwardedAddresses([...before, ...last].join()).split(', ')
    t.strictSame(left.slice(-last.length), last)
  }))
})
