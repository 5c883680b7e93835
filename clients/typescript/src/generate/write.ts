// Writes generated modules to a directory, or compares them with what is there.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mark } from './render.js'

export interface Difference {
  file: string
  what: 'new' | 'changed' | 'gone'
}

/** What differs between the modules in a directory and these. Only files with the generator's mark count as modules. */
export function compare(directory: string, files: Map<string, string>): Difference[] {
  const differences: Difference[] = []
  for (const [file, text] of files) {
    const path = join(directory, file)
    if (!existsSync(path)) differences.push({ file, what: 'new' })
    else if (readFileSync(path, 'utf8') !== text) differences.push({ file, what: 'changed' })
  }
  if (existsSync(directory))
    for (const file of readdirSync(directory))
      if (file.endsWith('.ts') && !files.has(file) && isGenerated(join(directory, file))) differences.push({ file, what: 'gone' })
  return differences
}

export function isGenerated(path: string): boolean {
  return readFileSync(path, 'utf8').startsWith(mark)
}

/** Makes the directory hold these modules. A file that somebody else wrote is left alone: an error says so, before anything is written. */
export function write(directory: string, files: Map<string, string>): Difference[] {
  const differences = compare(directory, files)
  const foreign = differences.filter((d) => d.what === 'changed' && !isGenerated(join(directory, d.file)))
  if (foreign.length > 0)
    throw new Error(`${foreign.map((d) => join(directory, d.file)).join(', ')}: not written by appdb-generate, so not overwritten; move ${foreign.length > 1 ? 'them' : 'it'} away or choose another directory with --out`)
  mkdirSync(directory, { recursive: true })
  for (const d of differences) {
    if (d.what === 'gone') rmSync(join(directory, d.file))
    else writeFileSync(join(directory, d.file), files.get(d.file)!)
  }
  return differences
}
