import { ofHttp, onPostgresAlone, runTests, withProcesses } from '../fixtures/suite.ts'

await runTests((name) => !ofHttp(name) && !withProcesses.includes(name) && !onPostgresAlone(name) && !name.startsWith('suites/'))
