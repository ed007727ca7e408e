import { ofHttp, runTests } from '../fixtures/suite.ts'

await runTests((name) => ofHttp(name))
