import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { ImportError } from '../transfer/import.ts'

type Chunks = AsyncIterable<Buffer | string>

const GZIP = Buffer.from([0x1f, 0x8b])

/**
 * The bytes of a file; where it is compressed by gzip, which its first two bytes tell, those that it holds.
 * @throws ImportError when it cannot be read.
 */
export async function * bytesOf (input: Chunks): AsyncGenerator<Buffer> {
  try {
    const source = buffers(input)
    const head = await takeHead(source)
    yield * head.subarray(0, GZIP.length).equals(GZIP) ? gunzipped(joined(head, source)) : joined(head, source)
  } catch (error) {
    throw new ImportError(`the file cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** As much of the beginning as is needed to tell gzip from anything else. */
async function takeHead (source: AsyncGenerator<Buffer>): Promise<Buffer> {
  let head = Buffer.alloc(0)
  while (head.length < GZIP.length) {
    const { done, value } = await source.next()
    if (done) break
    head = Buffer.concat([head, value])
  }
  return head
}

async function * buffers (input: Chunks): AsyncGenerator<Buffer> {
  for await (const chunk of input) yield Buffer.from(chunk)
}

async function * joined (head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield * rest
}

async function * gunzipped (compressed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip()
  // What fails ends `gunzip` with the error, and whoever reads it is told.
  pipeline(Readable.from(compressed), gunzip).catch(() => {})
  yield * gunzip
}
