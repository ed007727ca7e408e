import { defineConfig } from 'drizzle-kit'

const sqlite = process.env['DIALECT'] !== 'postgresql'

export default defineConfig({
  dialect: sqlite ? 'sqlite' : 'postgresql',
  schema: sqlite ? './src/db/sqlite-tables.ts' : './src/db/pg-tables.ts',
  out: sqlite ? './drizzle/sqlite' : './drizzle/pg'
})
