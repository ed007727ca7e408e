import { runTests, withProcesses } from '../fixtures/suite.ts'

await runTests((name) => withProcesses.includes(name))
