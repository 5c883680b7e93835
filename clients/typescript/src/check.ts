#!/usr/bin/env node
// appdb-check: what is wrong with the connection, and with drizzle.config.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { ConfigError } from './config.js'
import { close, connect } from './connect.js'
import { diagnose } from './diagnose.js'
import { checkKitConfig, type KitConfig } from './drizzle-kit.js'

const usage = `appdb-check: what is wrong with the database behind DATABASE_URL, and with drizzle.config

  appdb-check [--url URL] [--drizzle-config FILE] [--offline]

  --url URL               the database
  --drizzle-config FILE   drizzle-kit's configuration (drizzle.config.ts, .js or .json, where there is one)
  --offline               do not connect

Exits with 1 where something is wrong; warnings alone do not count.
`

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { url: { type: 'string' }, 'drizzle-config': { type: 'string' }, offline: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } } })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  let wrong = false
  const say = (level: string, message: string, hint?: string) => {
    if (level === 'error') wrong = true
    console.error(`${level}: ${message}${hint ? `\n  ${hint}` : ''}`)
  }

  const file = values['drizzle-config'] ?? ['ts', 'mts', 'js', 'mjs', 'json'].map((e) => `drizzle.config.${e}`).find((f) => existsSync(f))
  if (file !== undefined) {
    try {
      if (!existsSync(file)) throw new Error('there is no such file')
      const url = pathToFileURL(resolve(file)).href
      const module = file.endsWith('.json') ? await import(url, { with: { type: 'json' } }) : await import(url)
      const config = (module.default?.default ?? module.default) as KitConfig
      for (const problem of checkKitConfig(config)) say('error', `${file}: ${problem}`)
      if (!wrong) console.log(`${file} is safe beside appdb`)
    } catch (error) {
      const e = error as { code?: string; message: string }
      if (e.code === 'ERR_UNKNOWN_FILE_EXTENSION') say('error', `${file}: this runtime cannot read TypeScript`, 'Run it with bun, or with: node --import tsx node_modules/.bin/appdb-check')
      else say('error', `${file}: ${e.message}`)
    }
  }
  if (!values.offline) {
    const findings = await diagnose(connect({ ...(values.url !== undefined && { url: values.url }), poolSize: 1, applicationName: 'appdb-check' }))
    for (const f of findings) say(f.level, f.message, f.hint)
    if (!findings.some((f) => f.level === 'error')) console.log('the database can be used')
  }
  return wrong ? 1 : 0
}

main()
  .catch((error: unknown) => {
    console.error(`appdb-check: ${error instanceof ConfigError ? error.message : (error as Error).message}`)
    return 1
  })
  .then(async (status) => {
    await close(1)
    process.exitCode = status
  })
