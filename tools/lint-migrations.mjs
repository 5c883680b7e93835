// lint-migrations.mjs: finds in the migrations of tables what would block or
// lose something where the tables are filled and in use.
//
//   node lint-migrations.mjs [--released SUMS] FILE...
//
// Prints file:line, the rule and the safe way.  SUMS has the SHA-256 checksums
// of released files: of these, that they are as they were is all that is asked.
// A comment before a statement waives a rule for it, where it can be waived:
//
//   -- lint: allow drop: nothing has read the column since 1.3

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { options, parts, plpgsql, statements, walk } from './sql.mjs';
import { isBuiltinFunction, isBuiltinRelation, isBuiltinType, isVolatile } from './builtin.mjs';
import { onlinePart } from './format.mjs';

// rule: the safe way; those that can be waived, with a star
const rules = {
	'lock-timeout': "begin with SET LOCAL lock_timeout = '5s'; a statement that waits for its lock keeps everybody after it waiting, too",
	'drop*': 'stop using it in one version, drop it in the next, with the reason in a waiver; the old engine may still be running',
	'rename*': 'add the new one, fill it in batches, and drop the old one a version later',
	'rewrite*': 'add a column of the new type, fill it in batches in the online part, and change over to it a version later',
	'volatile-default*': 'ADD COLUMN without a default, ALTER COLUMN … SET DEFAULT for new rows, and fill the others in batches in the online part',
	'not-null*': 'ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID; in the online part VALIDATE CONSTRAINT, then SET NOT NULL, which need not look then, and DROP CONSTRAINT',
	'not-valid*': 'ADD CONSTRAINT … NOT VALID here, and VALIDATE CONSTRAINT in the online part',
	'concurrently*': 'CREATE [UNIQUE] INDEX CONCURRENTLY in the online part; a constraint is then made of it: ADD CONSTRAINT … UNIQUE USING INDEX',
	'batch*': 'in the online part, by the batch: UPDATE … WHERE id IN (SELECT id FROM … WHERE id > $1 AND … ORDER BY id LIMIT $2) RETURNING id',
	'dynamic*': 'write the statements out: what EXECUTE gets, nobody can check before it runs',
	'enum-value': 'use the new value in the next version; the transaction that adds it cannot',
	'if-not-exists': 'leave it out: what is there already is not what you think, and has to stop the migration',
	'qualified': 'write the schema',
	'member': 'leave tables to themselves and functions to sql/0[0-4]_*.sql; a member is lost with the extension, and is not dumped',
	'transaction': 'leave it out; appdb.migrate() has one transaction for all, and migrate_online() one a step',
	'waiver': 'write "-- lint: allow RULE: reason" right before the statement that needs it',
	'released': 'git checkout that file, and write another migration: databases have run this one',
	'syntax': 'see the manual',
};
const waivable = new Set(Object.keys(rules).filter((rule) => rule.endsWith('*')).map((rule) => rule.slice(0, -1)));
const safeWay = (rule) => rules[rule] ?? rules[`${rule}*`];

// kept by the engine itself, a few rows each
const small = new Set(['app_data.schema_version', 'app_data.managed', 'app_data.pending', 'app_data.access', 'app_data.legal_holds']);

const name = (relation) => `${relation.schemaname ? `${relation.schemaname}.` : ''}${relation.relname}`;
const constraints = (column) => (column.constraints ?? []).map((item) => item.Constraint);

export function lint(source) {
	const findings = [];
	let all;
	try {
		all = statements(source);
	} catch (error) {
		return [{ line: error.line ?? 1, rule: 'syntax', message: error.message }];
	}
	const online = onlinePart(source);

	const created = new Set(); // tables of this file: empty, and nobody uses them
	const notNullChecks = new Map(); // constraint -> { table, column, valid }
	const enumValues = new Set();
	const filled = (relation) => relation && !created.has(name(relation)) && !small.has(name(relation));

	for (const statement of all) {
		const { kind, node } = statement;
		const isOnline = statement.line > online;
		const found = [];
		const add = (rule, message, line = statement.line) => found.push({ line, rule, message });
		if (kind === 'CreateStmt') created.add(name(node.relation));
		check(statement, isOnline, add);
		findings.push(...waive(statement, found));
	}
	const first = all.find((statement) => statement.line < online);
	if (first && !setsLockTimeout(first)) findings.push({ line: first.line, rule: 'lock-timeout', message: 'the first statement does not set lock_timeout' });
	return findings.sort((a, b) => a.line - b.line);

	// without what the comments before the statement allow
	function waive(statement, found) {
		const waivers = [...statement.comments.matchAll(/^[ \t]*--\s*lint:(.*)$/gm)].map(([, text]) => text.match(/^\s*allow\s+([a-z-]+)\s*(?::\s*(.*))?$/) ?? [text]);
		const wrong = [];
		for (const [text, rule, reason] of waivers) {
			const say = (message) => wrong.push({ line: statement.line, rule: 'waiver', message });
			if (!rule) say(`cannot read "lint:${text}"`);
			else if (!waivable.has(rule)) say(`${safeWay(rule) ? `rule ${rule} cannot be waived` : `there is no rule ${rule}`}`);
			else if (!reason) say(`the waiver of rule ${rule} has no reason`);
			else if (!found.some((finding) => finding.rule === rule)) say(`nothing here breaks rule ${rule}`);
		}
		const allowed = new Set(waivers.filter(([, rule, reason]) => waivable.has(rule) && reason).map(([, rule]) => rule));
		return [...found.filter(({ rule }) => !allowed.has(rule)), ...wrong];
	}

	function check(statement, isOnline, add, nested = false) {
		const { kind, node } = statement;
		const table = (relation) => `table ${name(relation)}`;

		if (kind === 'AlterTableStmt') {
			for (const { AlterTableCmd: command } of node.cmds) alterTable(node, command, isOnline, add);
		} else if (kind === 'IndexStmt') {
			if (filled(node.relation) && !(node.concurrent && isOnline))
				add('concurrently', node.concurrent ? 'CREATE INDEX CONCURRENTLY cannot run in the transaction of the first part'
					: `CREATE INDEX keeps writers of ${table(node.relation)} waiting while it reads the table`);
		} else if (kind === 'DropStmt') {
			const what = node.objects.map((object) => parts(object.List?.items ?? object.TypeName?.names ?? [object]).join('.')).join(', ');
			if (node.removeType === 'OBJECT_INDEX') {
				if (!node.concurrent) add('concurrently', `DROP INDEX ${what} waits for everybody who uses the table, and they for it; DROP INDEX CONCURRENTLY does not`);
				else if (!isOnline) add('concurrently', 'DROP INDEX CONCURRENTLY cannot run in the transaction of the first part');
			} else if (['OBJECT_TABLE', 'OBJECT_TYPE', 'OBJECT_DOMAIN', 'OBJECT_SCHEMA', 'OBJECT_SEQUENCE', 'OBJECT_MATVIEW', 'OBJECT_VIEW'].includes(node.removeType)) {
				add('drop', `drops ${what}`);
			}
		} else if (kind === 'TruncateStmt') {
			add('drop', `removes all rows of ${node.relations.map((relation) => name(relation.RangeVar)).join(', ')}`);
		} else if (kind === 'RenameStmt' && ['OBJECT_TABLE', 'OBJECT_COLUMN', 'OBJECT_VIEW', 'OBJECT_TYPE', 'OBJECT_SCHEMA', 'OBJECT_ATTRIBUTE'].includes(node.renameType)) {
			if (!node.relation || filled(node.relation)) add('rename', `renames ${node.subname ?? (node.relation ? name(node.relation) : parts(node.object?.List?.items).join('.'))} to ${node.newname}`);
		} else if (kind === 'AlterObjectSchemaStmt') {
			add('rename', `moves something to schema ${node.newschema}`);
		} else if (kind === 'AlterEnumStmt') {
			if (node.oldVal) add('rename', `renames the value ${node.oldVal} to ${node.newVal}`);
			else enumValues.add(node.newVal);
			if (node.skipIfNewValExists) add('if-not-exists', `IF NOT EXISTS for the value ${node.newVal}`);
		} else if (kind === 'UpdateStmt' || kind === 'DeleteStmt' || kind === 'MergeStmt') {
			if (filled(node.relation)) {
				const batched = JSON.stringify(node).includes('"limitCount"');
				if (!isOnline) add('batch', `changes rows of ${table(node.relation)} in the transaction of the first part, and keeps them locked to its end`);
				else if (!batched) add('batch', `changes any number of rows of ${table(node.relation)} in one transaction`);
			}
		} else if (kind === 'InsertStmt') {
			const from = [];
			walk(node.selectStmt, (k, relation) => void (k === 'RangeVar' && filled(relation) && relation.schemaname && from.push(name(relation))));
			if (from.length && !JSON.stringify(node.selectStmt).includes('"limitCount"')) add('batch', `copies any number of rows of table ${from[0]} in one transaction`);
		} else if (kind === 'CreateTableAsStmt') {
			add('batch', 'CREATE TABLE AS copies any number of rows in one transaction');
		} else if (kind === 'ClusterStmt' || kind === 'ReindexStmt' || (kind === 'VacuumStmt' && 'full' in options(node.options))) {
			add('rewrite', `${kind.replace('Stmt', '').toUpperCase()} writes the table or index anew while nobody can use it`);
		} else if (kind === 'TransactionStmt') {
			add('transaction', 'controls the transaction');
		} else if (kind === 'VariableSetStmt') {
			if (!node.is_local) add('transaction', `SET ${node.name} lasts longer than the transaction: SET LOCAL does not`);
		} else if (kind === 'AlterExtensionContentsStmt' || kind === 'CreateExtensionStmt' || kind === 'AlterExtensionStmt') {
			add('member', 'changes what belongs to an extension');
		} else if (kind === 'CreateFunctionStmt') {
			add('member', `makes function ${parts(node.funcname).join('.')}`);
		} else if (kind === 'CreateSchemaStmt') {
			add('member', `makes schema ${node.schemaname}`);
		} else if (kind === 'DoStmt' && !nested) {
			doBlock(statement, isOnline, add);
		}

		// what is made belongs in the data schema
		const made = { CreateStmt: node.relation, ViewStmt: node.view, CreateSeqStmt: node.sequence, CreateTableAsStmt: node.into?.rel }[kind];
		if (made?.schemaname && made.schemaname !== 'app_data') add('member', `makes ${name(made)}, which is not in app_data`);

		if (node.if_not_exists) add('if-not-exists', 'IF NOT EXISTS');
		if (node.missing_ok) add('if-not-exists', 'IF EXISTS');
		if (node.replace) add('if-not-exists', 'OR REPLACE');
		for (const { AlterTableCmd: command } of (kind === 'AlterTableStmt' && node.cmds) || [])
			if (command.missing_ok) add('if-not-exists', command.subtype === 'AT_AddColumn' ? 'IF NOT EXISTS' : 'IF EXISTS');

		qualified(statement, add);
		if (kind !== 'AlterEnumStmt' && enumValues.size && !isOnline)
			walk(node, (k, constant) => void (k === 'A_Const' && enumValues.has(constant.sval?.sval) &&
				add('enum-value', `uses the value ${constant.sval.sval}, which this migration adds`, statement.lineOf(constant.location))));
	}

	function alterTable({ relation, objtype }, command, isOnline, add) {
		if (objtype !== 'OBJECT_TABLE' || !filled(relation)) return;
		const { subtype, def } = command;
		const column = def?.ColumnDef;
		const constraint = def?.Constraint;
		const table = name(relation);

		if (subtype === 'AT_DropColumn') add('drop', `drops column ${command.name} of table ${table}`);
		if (subtype === 'AT_AlterColumnType') add('rewrite', `changes the type of column ${command.name}: table ${table} is written anew while nobody can use it`);
		if (['AT_SetLogged', 'AT_SetUnLogged', 'AT_SetAccessMethod', 'AT_SetTableSpace', 'AT_SetExpression'].includes(subtype)) add('rewrite', `${subtype.slice(3)}: table ${table} is written anew while nobody can use it`);
		if (subtype === 'AT_SetNotNull') {
			const known = [...notNullChecks.values()].some((check) => check.table === table && check.column === command.name && check.valid);
			if (!known) add('not-null', `SET NOT NULL reads all of table ${table} while nobody can use it`);
		}
		if (subtype === 'AT_ValidateConstraint') {
			if (!isOnline) add('not-valid', `VALIDATE CONSTRAINT ${command.name} reads all of table ${table} in the transaction of the first part, which holds its locks meanwhile`);
			else if (notNullChecks.has(command.name)) notNullChecks.get(command.name).valid = true;
		}
		if (subtype === 'AT_AddColumn') {
			let generated = false, defaulted = false, required = false;
			for (const item of constraints(column)) {
				if (item.contype === 'CONSTR_DEFAULT') {
					defaulted = true;
					walk(item.raw_expr, (k, call) => void (k === 'FuncCall' && isVolatile(parts(call.funcname)) &&
						add('volatile-default', `${parts(call.funcname).join('.')}() may give each row another value: table ${table} is written anew for it while nobody can use it`)));
				} else if (item.contype === 'CONSTR_GENERATED' || item.contype === 'CONSTR_IDENTITY') {
					if (item.generated_kind !== 'v') generated = true;
				} else if (item.contype === 'CONSTR_NOTNULL') required = true;
				else if (item.contype === 'CONSTR_CHECK' || item.contype === 'CONSTR_FOREIGN') add('not-valid', `the constraint of column ${column.colname} is checked against all of table ${table} while nobody can write`);
				else if (item.contype === 'CONSTR_UNIQUE' || item.contype === 'CONSTR_PRIMARY') add('concurrently', `the index of column ${column.colname} is made while nobody can use table ${table}`);
			}
			if (/^(small|big)?serial[248]?$/.test(parts(column.typeName.names).at(-1))) generated = true;
			if (generated) add('rewrite', `column ${column.colname} has a value of its own in each row: table ${table} is written anew while nobody can use it`);
			if (required && !defaulted && !generated) add('not-null', `column ${column.colname} is NOT NULL and has no default: this fails where table ${table} has a row`);
		}
		if (subtype === 'AT_AddConstraint') {
			if (constraint.contype === 'CONSTR_CHECK' || constraint.contype === 'CONSTR_FOREIGN' || constraint.contype === 'CONSTR_NOTNULL') {
				if (!constraint.skip_validation) add('not-valid', `constraint ${constraint.conname ?? ''} is checked against all of table ${table} while nobody can write`.replace('  ', ' '));
				const test = constraint.raw_expr?.NullTest;
				if (test?.nulltesttype === 'IS_NOT_NULL' && test.arg.ColumnRef) notNullChecks.set(constraint.conname, { table, column: parts(test.arg.ColumnRef.fields).at(-1), valid: false });
			} else if (!constraint.indexname) {
				add('concurrently', `the index of constraint ${constraint.conname ?? ''} is made while nobody can use table ${table}`.replace('  ', ' '));
			}
		}
	}

	function doBlock(statement, isOnline, add) {
		let found;
		try {
			found = plpgsql(statement.text);
		} catch (error) {
			add('syntax', error.message);
			return;
		}
		for (const { query, mode, line, kind } of found) {
			const at = (rule, message) => add(rule, message, statement.line + line - 1);
			if (kind === 'dynexecute' || kind === 'dynfors') at('dynamic', 'EXECUTE in a DO block');
			if (mode !== 0) continue; // an expression, or a type
			for (const inner of statements(query)) check(inner, isOnline, at, true);
		}
	}

	// relations with their schema; types and functions too, but for PostgreSQL's
	// own: the search path is pg_catalog alone
	function qualified(statement, add) {
		const common = new Set();
		walk(statement.node, (k, node) => void (k === 'CommonTableExpr' && common.add(node.ctename)));
		const wanting = (what, unqualified, location) => add('qualified', `${what} ${unqualified} has no schema`, statement.lineOf(location));
		const visit = (k, node) => {
			if (k === 'LockingClause') return true; // aliases
			if (k === 'DefElem' && statement.kind !== 'DefineStmt') return true; // words of options, which look like types
			if (k === 'RangeVar' && !node.schemaname && !common.has(node.relname) && !isBuiltinRelation(node.relname)) wanting('relation', node.relname, node.location);
			if (k === 'TypeName' && node.names?.length === 1 && !isBuiltinType(parts(node.names)[0])) wanting('type', parts(node.names)[0], node.location);
			if (k === 'FuncCall' && node.funcname.length === 1 && !isBuiltinFunction(parts(node.funcname)[0])) wanting('function', parts(node.funcname)[0], node.location);
		};
		if (statement.kind === 'DropStmt' || statement.kind === 'CommentStmt') objects(statement.node, wanting);
		if (statement.kind !== 'DropStmt' && statement.kind !== 'CommentStmt') walk(statement.node, visit);
		for (const key of ['typeName', 'funcname']) if (statement.node[key]?.length === 1) wanting('object', parts(statement.node[key])[0]);
	}

	function objects(node, wanting) {
		const shortest = { OBJECT_COLUMN: 3, OBJECT_TABCONSTRAINT: 3, OBJECT_TRIGGER: 3, OBJECT_POLICY: 3, OBJECT_RULE: 3, OBJECT_SCHEMA: 1, OBJECT_EXTENSION: 1 }[node.removeType ?? node.objtype] ?? 2;
		for (const object of node.objects ?? [node.object]) {
			const names = object.List ? parts(object.List.items) : object.TypeName ? parts(object.TypeName.names) : object.String ? [object.String.sval] : undefined;
			if (names && names.length < shortest && names[0] !== '*') wanting('object', names.join('.'));
		}
	}
}

function setsLockTimeout({ kind, node }) {
	const value = node.args?.[0]?.A_Const;
	return kind === 'VariableSetStmt' && node.name === 'lock_timeout' && node.is_local && node.kind === 'VAR_SET_VALUE' &&
		(value?.sval ? !/^0\s*[a-z]*$/.test(value.sval.sval) : value?.ival?.ival > 0);
}

// What is wrong with the released files, by their names.
function released(sums) {
	const findings = new Map();
	for (const [, sum, file] of readFileSync(sums, 'utf8').matchAll(/^([0-9a-f]{64}) [ *](.+)$/gm)) {
		const now = existsSync(file) && createHash('sha256').update(readFileSync(file)).digest('hex');
		findings.set(file, now === sum ? [] : [{ line: 1, rule: 'released', message: `is ${now ? 'not what was released' : 'gone'}` }]);
	}
	return findings;
}

if (process.argv[1]?.endsWith('lint-migrations.mjs')) {
	const files = process.argv.slice(2);
	if (files[0] === '--rules') {
		console.log(Object.keys(rules).map((rule) => rule.replace('*', '')).join('\n'));
	} else {
		const findings = files[0] === '--released' ? released(files.splice(0, 2)[1]) : new Map();
		for (const file of files) if (!findings.has(file)) findings.set(file, lint(readFileSync(file, 'utf8')));
		for (const [file, found] of findings) {
			for (const { line, rule, message } of found) {
				console.log(`${file}:${line}: ${rule}: ${message}\n    safe: ${safeWay(rule)}`);
				process.exitCode = 1;
			}
		}
	}
}
