// Assertions in the Test Anything Protocol: a test is a function that throws or not.

import { isDeepStrictEqual, inspect } from 'node:util'

let count = 0
let failed = 0

export async function test(name: string, run: () => Promise<void> | void): Promise<void> {
  count++
  try {
    await run()
    console.log(`ok ${count} - ${name}`)
  } catch (error) {
    failed++
    console.log(`not ok ${count} - ${name}`)
    const text = error instanceof Unequal ? error.message : inspect(error, { depth: 4 })
    console.log(text.split('\n').slice(0, 60).map((l) => `#   ${l.slice(0, 300)}`).join('\n'))
  }
}

class Unequal extends Error {}

export function same(got: unknown, expected: unknown, what = ''): void {
  if (!isDeepStrictEqual(got, expected)) throw new Unequal(`${what}\ngot: ${inspect(got, { depth: 9 })}\nexpected: ${inspect(expected, { depth: 9 })}`)
}

export function yes(value: unknown, what: string): void {
  if (!value) throw new Unequal(what)
}

/** The message of what it throws, with those of its causes. */
export async function thrown(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    let text = ''
    for (let e = error as { message: string; cause?: unknown; code?: string } | undefined; e; e = e.cause as typeof e) text += `${e.code ?? ''} ${e.message}\n`
    return text
  }
  return 'nothing was thrown'
}

export function done(): never {
  console.log(`1..${count}`)
  process.exit(failed ? 1 : 0)
}
