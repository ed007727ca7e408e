// Plain JavaScript, checked by its JSDoc: a thread starts thirty times faster without a TypeScript loader.
import bcrypt from 'bcryptjs'
import { pbkdf2Sync, scryptSync, timingSafeEqual } from 'node:crypto'

/**
 * Comparing with a hash of another system: the password as it was typed, and what it was hashed with. Bytes are in base64.
 * @typedef {{ password: string, key: string, salt: string } & (
 *   { scheme: 'pbkdf2', digest: string, iterations: number } |
 *   { scheme: 'scrypt', cost: number, blockSize: number, parallelization: number } |
 *   { scheme: 'argon2', kind: 'argon2id' | 'argon2i' | 'argon2d', memorySize: number, iterations: number, parallelism: number }
 * )} Foreign
 */

/**
 * Work for a hashing thread: hash at a cost, or compare with a hash. `text` is what bcrypt is given, mostly a pre-hash.
 * @typedef {{ text: string, cost: number } | { text: string, hash: string } | Foreign} Task
 */

/**
 * The hash, or whether it matched, and the milliseconds it took.
 * @template T
 * @typedef {{ result: T, took: number }} Done
 */

/**
 * @param {Task} task
 * @returns {Promise<Done<string | boolean>>}
 */
export default async function work (task) {
  const start = performance.now()
  const result = 'scheme' in task ? await compare(task) : 'cost' in task ? bcrypt.hashSync(task.text, task.cost) : bcrypt.compareSync(task.text, task.hash)
  return { result, took: performance.now() - start }
}

/**
 * @param {Foreign} task
 * @returns {Promise<boolean>}
 */
async function compare (task) {
  const key = Buffer.from(task.key, 'base64')
  return timingSafeEqual(await derive(task, Buffer.from(task.salt, 'base64'), key.length), key)
}

/**
 * @param {Foreign} task
 * @param {Buffer} salt
 * @param {number} length of the key
 * @returns {Promise<Uint8Array>}
 */
async function derive (task, salt, length) {
  const { password } = task
  if (task.scheme === 'pbkdf2') return pbkdf2Sync(password, salt, task.iterations, length, task.digest)
  if (task.scheme === 'scrypt') {
    const { cost, blockSize, parallelization } = task
    // Twice what it needs: Node's own limit is below what Django asks for.
    return scryptSync(password, salt, length, { cost, blockSize, parallelization, maxmem: 256 * (cost + parallelization) * blockSize })
  }
  // Loaded by those alone who need it.
  const argon2 = await import('hash-wasm')
  const { kind, memorySize, iterations, parallelism } = task
  return await argon2[kind]({ password, salt, hashLength: length, memorySize, iterations, parallelism, outputType: 'binary' })
}
