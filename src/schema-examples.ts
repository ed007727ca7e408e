/**
 * What a server answered, for the contract to show: one account, its first session, and the key that signed its token.
 * Neither key is in use, so the tokens open nothing.
 */
export const accessToken = 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IkJYdUM0eWNkUlVHZWEyLVIyVE9DMm84S0FKWExYdktQZkdEM3N5ck8xaVEifQ.eyJpc3MiOiJodHRwOi8vbG9jYWxob3N0OjMwMDAiLCJhdWQiOlsibGF0Y2hrZXkiXSwic3ViIjoiMDFhMjE2ZTQtYzU5NC03MjE0LWJmNTQtM2Y2MTdkM2VlODYyIiwiY2xpZW50X2lkIjoibGF0Y2hrZXkiLCJleHAiOjE3OTU2ODEyNDEsImlhdCI6MTc5NTY4MDQyMSwianRpIjoiWkxEN3hkSTk0aE90RWEzUjRNcWN4dyIsInNpZCI6IjAxYTIxNmU0LWM4MzUtNzQwZC1iZTQwLTM3OTdkMWJiOGViNiIsInRva2VuX3R5cGUiOiJhY2Nlc3MifQ.hZAvppTdWnByMgIh05c0F5slnhqwFSQmAEJTjss9ubXhhfL99ed29y3cq84oWUMJ5tGVdxJFWK4pD31NDTSNag'
export const refreshToken = 'eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCIsImtpZCI6InBid0dFLUZfIn0.eyJpc3MiOiJodHRwOi8vbG9jYWxob3N0OjMwMDAiLCJzdWIiOiIwMWEyMTZlNC1jNTk0LTcyMTQtYmY1NC0zZjYxN2QzZWU4NjIiLCJzaWQiOiIwMWEyMTZlNC1jODM1LTc0MGQtYmU0MC0zNzk3ZDFiYjhlYjYiLCJnZW4iOjEsImp0aSI6IjAxYTIxNmU0LWM4MzUtNzQwZC1iZTQwLTM3OTdkMWJiOGViNi4xIiwidG9rZW5fdHlwZSI6InJlZnJlc2giLCJpYXQiOjE3OTU2ODA0MjEsImV4cCI6MTc5Njg5MDAyMX0.UceqxgT9LLINKn5GoM57bVagxrMLOyHkx2MyUtWDEQo'

export const password = 'correct horse battery staple'

const lifetimes = { expires_in: 820, refresh_expires_in: 1_209_600 }
/** In the body, and where the refresh token travels in the cookie. */
export const tokenPairs = [
  { access_token: accessToken, token_type: 'Bearer', ...lifetimes, refresh_token: refreshToken },
  { access_token: accessToken, token_type: 'Bearer', ...lifetimes }
]

export const user = {
  id: '01a216e4-c594-7214-bf54-3f617d3ee862',
  username: 'ada',
  email: 'ada@example.com',
  email_verified: false,
  created_at: '2026-11-26T08:07:01.268Z',
  last_login_at: '2026-11-26T08:07:01.941Z'
}

export const session = {
  id: '01a216e4-c835-740d-be40-3797d1bb8eb6',
  created_at: '2026-11-26T08:07:01.941Z',
  last_used_at: '2026-11-26T08:07:02.998Z',
  expires_at: '2026-12-10T08:07:02.998Z',
  ip: '203.0.113.7',
  user_agent: 'curl/8.5.0',
  current: true
}

export const jwk = {
  kid: 'BXuC4ycdRUGea2-R2TOC2o8KAJXLXvKPfGD3syrO1iQ',
  kty: 'EC',
  alg: 'ES256',
  use: 'sig',
  crv: 'P-256',
  x: 'oncvJairF9Gb4RzCJ3ieFomGk1N5nIT-71KvtTlHEYE',
  y: '8DxuZa4rxMOC1pdUC4vIueKgtBSZohmf7tv6pn85oiI'
}

export const metadata = { issuer: 'http://localhost:3000', jwks_uri: 'http://localhost:3000/.well-known/jwks.json' }
