import { serve } from './serve.ts'
import { exitCodeOf, explain } from './start-errors.ts'

serve().catch((error: unknown) => {
  console.error(explain(error))
  process.exit(exitCodeOf(error))
})
