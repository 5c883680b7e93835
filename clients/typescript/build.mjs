// Builds dist/: the package against Drizzle 0.45, then the schema once more against 1.0, whose types are others.

import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const tsc = (project) => execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], { stdio: 'inherit' })

rmSync('dist', { recursive: true, force: true })
rmSync('src/schema-v2', { recursive: true, force: true })
tsc('tsconfig.json')

cpSync('src/schema', 'src/schema-v2', { recursive: true })
cpSync('src/schema-v2/relations-v2.ts', 'src/schema-v2/relations.ts')
rmSync('src/schema-v2/relations-v2.ts')
rmSync('src/schema-v2/kysely.ts')
tsc('tsconfig.v2.json')
// what the declarations name is the package that users have
for (const file of readdirSync('dist/schema-v2').filter((f) => f.endsWith('.d.ts'))) {
  const path = `dist/schema-v2/${file}`
  writeFileSync(path, readFileSync(path, 'utf8').replaceAll('"drizzle-v2', '"drizzle-orm').replaceAll("'drizzle-v2", "'drizzle-orm"))
}

for (const bin of ['generate/cli.js', 'migrate.js', 'check.js']) chmodSync(`dist/${bin}`, 0o755)
