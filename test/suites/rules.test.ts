import { ofHttp, runTests, withProcesses } from '../fixtures/suite.ts'

await runTests((name) => !ofHttp(name) && !withProcesses.includes(name) && !name.startsWith('suites/'))
