// draft.mjs: drafts a migration from the catalogs of two databases.
//
//   node draft.mjs OLD_DATABASE NEW_DATABASE OLD NEW FILE HINT...
//
// The difference of tables, columns, indexes and constraints is found by migra,
// the port that @pgkit maintains.  It knows no renames (it drops and adds), makes
// enum types anew where they get a value (and so writes tables anew), makes
// indexes while writers wait, knows nothing of comments and storage parameters,
// and nothing of what appdb.manage() makes.  So here
//
//  - what is gone where something else is new is asked for, and renamed,
//  - enum types get their new values,
//  - then migra's statements are put where they block nobody for long,
//  - comments, storage parameters and calls of appdb.manage() are added,
//  - triggers, policies and the like are left to appdb.manage().
//
// Everything is done to the old database as it is drafted: what then still
// differs is said in the draft, and what the checker minds is said above each
// statement as a hazard.

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createClient } from '@pgkit/client';
import { run } from '@pgkit/migra';
import { lint } from '../lint-migrations.mjs';
import { bare, parts, statements } from '../sql.mjs';

const [oldDatabase, newDatabase, oldVersion, newVersion, file, ...hintWords] = process.argv.slice(2);

// == the databases ==========================================================

const psql = (database, sql) =>
	spawnSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database], {
		input: sql,
		encoding: 'utf8',
		env: { ...process.env, PGOPTIONS: '-c client_min_messages=error -c search_path=pg_catalog,pg_temp -c appdb.allow_drop=on' },
	});

function ask(database, sql) {
	const { status, stdout, stderr } = psql(database, `SELECT coalesce(json_agg(t), '[]') FROM (${sql}) AS t`);
	if (status) throw new Error(stderr);
	return JSON.parse(stdout);
}

const both = (sql) => [ask(oldDatabase, sql), ask(newDatabase, sql)];
const data = "(SELECT oid FROM pg_namespace WHERE nspname = 'app_data')";
const literal = (text) => `'${text.replaceAll("'", "''")}'`;

// == the draft ==============================================================

const first = []; // { sql, notes }
const online = [];

// appends a statement to a part, and does it; what is said of it stands above it
function add(part, sql, ...notes) {
	const { status, stderr } = psql(oldDatabase, sql);
	if (status) notes.push(`HAZARD: this fails: ${stderr.trim().replace(/^.*?ERROR: */s, '').replaceAll('\n', ' ')}`);
	part.push({ sql: `${sql};`, notes });
}

// == renames ================================================================

const hints = new Map();
for (const word of hintWords) {
	const [from, to] = word.replaceAll('app_data.', '').split('=');
	if (to === undefined) fail(`cannot read the hint "${word}": it is OLD=NEW, or OLD= for what is gone`);
	hints.set(from, to);
}
const questions = [];
const used = new Set();

function fail(...lines) {
	console.error(lines.join('\n'));
	process.exit(2);
}

// What was renamed, of a kind of things of which some are gone and some are
// new: [[from, to]].  Without a hint, something is asked.
function renamed(prefix, what, before, after) {
	const gone = before.filter((name) => !after.includes(name));
	const fresh = after.filter((name) => !before.includes(name));
	const pairs = [];
	for (const name of gone) {
		const to = hints.get(prefix + name);
		if (to !== undefined) used.add(prefix + name);
		if (to && fresh.includes(to)) pairs.push([name, to]);
		else if (to) fail(`the hint ${prefix}${name}=${to}: there is no new ${what} ${to}; new are ${fresh.join(', ') || 'none'}`);
		else if (to === undefined && fresh.length)
			questions.push(`${what} ${prefix}${name} is gone, and ${fresh.join(', ')} ${fresh.length > 1 ? 'are' : 'is'} new. Say what became of it:`,
				...fresh.map((other) => `  RENAME='${prefix}${name}=${other}'   it has another name now`), `  RENAME='${prefix}${name}='   it is gone, with what is in it`);
	}
	return pairs;
}

const tablesOf = `SELECT c.relname AS name, (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
	WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
	FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = ${data}`;
const enumsOf = `SELECT t.typname AS name, (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
	FROM pg_type t WHERE t.typtype = 'e' AND t.typnamespace = ${data}`;
const quote = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) && bare(name) ? name : `"${name.replaceAll('"', '""')}"`);

const [oldTables, newTables] = both(tablesOf);
const [oldEnums, newEnums] = both(enumsOf);
const renames = [];
const tableRenames = renamed('', 'table', oldTables.map((t) => t.name), newTables.map((t) => t.name));
for (const [from, to] of tableRenames) renames.push(`ALTER TABLE app_data.${quote(from)} RENAME TO ${quote(to)}`);
const misplaced = [];
for (const table of newTables) {
	const from = tableRenames.find(([, to]) => to === table.name)?.[0] ?? table.name;
	const before = oldTables.find((t) => t.name === from);
	if (!before) continue;
	const pairs = renamed(`${table.name}.`, 'column', before.columns, table.columns);
	for (const [column, to] of pairs) renames.push(`ALTER TABLE app_data.${quote(table.name)} RENAME COLUMN ${quote(column)} TO ${quote(to)}`);
	const kept = table.columns.map((column) => before.columns.includes(column) || pairs.some(([, to]) => to === column));
	for (const [i, column] of table.columns.entries())
		if (!kept[i] && kept.indexOf(true, i) >= 0) misplaced.push(`column ${column} of table ${table.name} is added at the end: let it stand there in sql/, too`);
}
const enumChanges = [];
for (const type of newEnums) {
	const before = oldEnums.find((t) => t.name === type.name);
	if (!before) continue;
	const pairs = renamed(`${type.name}.`, 'value', before.labels, type.labels);
	for (const [from, to] of pairs) enumChanges.push(`ALTER TYPE app_data.${quote(type.name)} RENAME VALUE ${literal(from)} TO ${literal(to)}`);
	const have = before.labels.map((label) => pairs.find(([from]) => from === label)?.[1] ?? label);
	for (const [i, label] of type.labels.entries()) {
		if (have.includes(label)) continue;
		const next = type.labels.slice(i + 1).find((other) => have.includes(other));
		enumChanges.push(`ALTER TYPE app_data.${quote(type.name)} ADD VALUE ${literal(label)}${next ? ` BEFORE ${literal(next)}` : ''}`);
	}
}
if (questions.length) fail(...questions);
for (const hint of hints.keys()) if (!used.has(hint)) fail(`the hint ${hint}=${hints.get(hint)}: nothing of that name is gone`);
for (const sql of [...renames, ...enumChanges]) add(first, sql);

// == what migra finds =======================================================

const clients = [oldDatabase, newDatabase].map((database) =>
	createClient(`postgresql://${encodeURIComponent(process.env.PGUSER ?? 'postgres')}@localhost:${process.env.PGPORT ?? 5432}/${database}?host=${encodeURIComponent(process.env.PGHOST)}`,
		{ pgpOptions: { initialize: { noWarnings: true } } }));

async function migra() {
	const { sql } = await run(clients[0], clients[1], { unsafe: true, schema: 'app_data' });
	return statements(sql).filter(({ kind, node }) =>
		// made by appdb.manage(), for all tables, after the migration
		!['CreateTrigStmt', 'CreatePolicyStmt', 'AlterPolicyStmt', 'CreateFunctionStmt', 'ViewStmt', 'GrantStmt'].includes(kind) &&
		!(kind === 'DropStmt' && ['OBJECT_TRIGGER', 'OBJECT_POLICY', 'OBJECT_FUNCTION', 'OBJECT_VIEW'].includes(node.removeType)) &&
		!(kind === 'AlterTableStmt' && node.cmds.every(({ AlterTableCmd: c }) => /RowSecurity|Trig/.test(c.subtype))));
}

// as it is written here: words of SQL in capitals, names without needless quotes
const words = new Set(`alter table add column drop constraint default not null set data type using create unique index on where foreign key references check primary
	generated always as stored valid validate deferrable initially deferred delete update cascade restrict enum with include nulls distinct`.split(/\s+/));
const pretty = (sql) =>
	sql.split(/('(?:[^']|'')*'|"(?:[^"]|"")*")/).map((piece) =>
		piece.startsWith("'") ? piece : piece.startsWith('"') ? quote(piece.slice(1, -1).replaceAll('""', '"'))
			: piece.replace(/\b[a-z]+\b/g, (word) => (words.has(word) ? word.toUpperCase() : word))).join('')
		.replace(/\bTYPE app_data/g, 'TYPE app_data').replace(/ on (app_data\.)/gi, ' ON $1').replace(/^ {2,}/gm, '\t').trim();

const made = new Set();
const viewless = new Set();
const liveViews = new Map(ask(oldDatabase, "SELECT c.relname AS name, m.view FROM app_data.managed m JOIN pg_class c ON c.oid = m.entity").map((m) => [m.name, m.view]));

for (const { kind, node, text } of await migra()) {
	const table = node.relation?.relname;
	const exists = table && !made.has(table);
	const on = exists ? `app_data.${quote(table)}` : '';
	const sql = pretty(text);
	const commands = kind === 'AlterTableStmt' && node.objtype === 'OBJECT_TABLE' ? node.cmds.map((item) => item.AlterTableCmd) : [];
	const [command] = commands;

	if (kind === 'CreateStmt') {
		made.add(table);
		add(first, sql);
	} else if (kind === 'IndexStmt' && exists) {
		add(online, sql.replace(/^CREATE (UNIQUE )?INDEX/, 'CREATE $1INDEX CONCURRENTLY'));
	} else if (kind === 'DropStmt' && node.removeType === 'OBJECT_INDEX') {
		add(online, `DROP INDEX CONCURRENTLY ${node.objects.map((object) => parts(object.List.items).map(quote).join('.')).join(', ')}`);
	} else if (exists && command?.subtype === 'AT_SetNotNull') {
		const column = quote(command.name);
		const check = quote(`${table}_${command.name}_not_null`);
		add(first, `ALTER TABLE ${on} ADD CONSTRAINT ${check} CHECK (${column} IS NOT NULL) NOT VALID`);
		add(online, `ALTER TABLE ${on} VALIDATE CONSTRAINT ${check}`, 'first fill what is null');
		add(online, `ALTER TABLE ${on} ALTER COLUMN ${column} SET NOT NULL`);
		add(online, `ALTER TABLE ${on} DROP CONSTRAINT ${check}`);
	} else if (exists && (command?.subtype === 'AT_ValidateConstraint' || (command?.subtype === 'AT_AddConstraint' && command.def.Constraint.indexname))) {
		add(online, sql);
	} else {
		if (exists && commands.some(({ subtype }) => /^AT_(DropColumn|AlterColumnType)$/.test(subtype)) && liveViews.has(table) && !viewless.has(table)) {
			viewless.add(table);
			add(first, `DROP VIEW appdb.${quote(liveViews.get(table))} CASCADE`, 'the live view has the column; appdb.manage() makes it again, but not what users have made of it');
		}
		add(first, sql);
	}
}

// == what migra does not know ===============================================

const options = `SELECT c.relname AS name, CASE c.relkind WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END AS kind, coalesce(c.reloptions, '{}') AS options
	FROM pg_class c WHERE c.relkind IN ('r', 'p', 'i') AND c.relnamespace = ${data} ORDER BY c.relname`;
for (const [before, after] of pair(both(options), (row) => row.name)) {
	if (!before || !after) continue;
	const where = `ALTER ${after.kind} app_data.${quote(after.name)}`;
	const set = after.options.filter((option) => !before.options.includes(option));
	const gone = before.options.map((option) => option.split('=')[0]).filter((name) => !after.options.some((option) => option.startsWith(`${name}=`)));
	if (set.length) add(first, `${where} SET (${set.map((option) => option.replace('=', ' = ')).join(', ')})`);
	if (gone.length) add(first, `${where} RESET (${gone.join(', ')})`);
}

const remarks = `SELECT kind || ' ' || name AS name, remark FROM (
	SELECT 'TABLE' AS kind, format('app_data.%I', c.relname) AS name, obj_description(c.oid, 'pg_class') AS remark FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = ${data}
	UNION ALL SELECT 'COLUMN', format('app_data.%I.%I', c.relname, a.attname), col_description(c.oid, a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = ${data} AND a.attnum > 0 AND NOT a.attisdropped
	UNION ALL SELECT 'INDEX', format('app_data.%I', c.relname), obj_description(c.oid, 'pg_class') FROM pg_class c WHERE c.relkind = 'i' AND c.relnamespace = ${data}
	UNION ALL SELECT 'TYPE', format('app_data.%I', t.typname), obj_description(t.oid, 'pg_type') FROM pg_type t WHERE t.typtype IN ('e', 'd') AND t.typnamespace = ${data}
	UNION ALL SELECT 'CONSTRAINT', format('%I ON app_data.%I', o.conname, c.relname), obj_description(o.oid, 'pg_constraint') FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
		WHERE c.relnamespace = ${data}) AS t ORDER BY kind = 'INDEX', name`;
for (const [before, after] of pair(both(remarks), (row) => row.name)) {
	if (!after || (before?.remark ?? null) === after.remark) continue;
	// what is made in the online part gets its comment there
	const [kind, name] = after.name.split(' ');
	const later = online.some(({ sql }) => new RegExp(`^(CREATE (UNIQUE )?INDEX CONCURRENTLY|ALTER TABLE .* ADD CONSTRAINT) ${name.replace('app_data.', '')} `).test(sql));
	add(kind === 'INDEX' && later ? online : first, `COMMENT ON ${after.name} IS ${after.remark === null ? 'NULL' : literal(after.remark)}`);
}

// the live view takes the comments of its table
const managed = `SELECT c.relname AS name, m.view, m.label, m.relations::text FROM app_data.managed m JOIN pg_class c ON c.oid = m.entity ORDER BY m.entity`;
for (const [before, after] of pair(both(managed), (row) => row.name)) {
	if (!after || (before && JSON.stringify(before) === JSON.stringify(after))) continue;
	add(first, `SELECT appdb.manage(${[
		literal(`app_data.${after.name}`),
		(before ? before.view !== after.view : after.view !== after.name) && `view => ${literal(after.view)}`,
		after.label && `label => ${literal(after.label)}`,
		after.relations !== (before?.relations ?? '{}') && `relations => ${literal(after.relations)}`,
	].filter(Boolean).join(', ')})`);
}

function pair([before, after], key) {
	const keys = new Set([...before, ...after].map(key));
	return [...keys].map((name) => [before.find((row) => key(row) === name), after.find((row) => key(row) === name)]);
}

// == the file ===============================================================

const left = [...new Set([...(await migra()).map(({ text }) => pretty(text)), ...misplaced])];
const block = ({ sql, notes }) => [...notes.map((note) => `-- ${note}`), sql].join('\n');
let draft = [
	`-- The tables of ${newVersion}: a draft of "make migration", to be read and completed.`,
	"SET LOCAL lock_timeout = '10s';",
	...first.map(block),
	...left.map((text) => `-- NOT DRAFTED: ${text.replaceAll('\n', '\n-- ')}`),
	...(online.length ? ['-- == online', ...online.map(block)] : []),
	'',
].join('\n');
const lines = draft.split('\n');
for (const { line, rule, message } of lint(draft).reverse()) lines.splice(line - 1, 0, `-- HAZARD ${rule}: ${message}`);
draft = lines.join('\n');
if (first.length + online.length + left.length || !existsSync(file)) writeFileSync(file, draft);
console.log(`${file}: ${first.length} statements, and ${online.length} beside load; ${draft.match(/^-- HAZARD/gm)?.length ?? 0} hazards${left.length ? `; ${left.length} things are left to you` : ''}.`);
console.log(first.length + online.length ? 'Read it, and: make lint-migrations, make check TESTS=upgrade' : 'The tables are as they were.');
process.exit(0); // the clients stay connected
