import neostandard from 'neostandard'

export default [
  { ignores: ['dist', 'drizzle', '.tap', 'coverage', 'data', 'schema.d.ts'] },
  ...neostandard({ ts: true }),
  {
    rules: {
      'max-params': ['error', 4],
      'max-depth': ['error', 3],
      complexity: ['error', 15]
    }
  },
  {
    files: ['**/*.ts'],
    rules: { '@typescript-eslint/no-explicit-any': 'error' }
  }
]
