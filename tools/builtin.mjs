// builtin.mjs: the names in pg_catalog, from pg_catalog.txt.

import { readFileSync } from 'node:fs';

const names = { function: new Set(), type: new Set(), relation: new Set(), volatile: new Set() };
for (const line of readFileSync(new URL('pg_catalog.txt', import.meta.url), 'utf8').split('\n')) {
	const [kind, name] = line.split(' ');
	names[kind]?.add(name);
}

export const isBuiltinFunction = (name) => names.function.has(name);
export const isBuiltinType = (name) => names.type.has(name) || names.relation.has(name) || /^(small|big)?serial[248]?$/.test(name);
export const isBuiltinRelation = (name) => names.relation.has(name);

// false for what is known not to be; a name with its schema in front, or without
export function isVolatile(parts) {
	const name = parts.at(-1);
	return !(parts.length === 1 || parts[0] === 'pg_catalog') || !names.function.has(name) || names.volatile.has(name);
}
