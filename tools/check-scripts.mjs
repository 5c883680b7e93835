// check-scripts.mjs: static rules over the scripts of the extension, which run
// as a superuser in databases where anybody may have planted anything.
//
//   node check-scripts.mjs SCRIPT...
//
// appdb--NEW.sql is an install script, appdb--OLD--NEW.sql an upgrade script,
// and any other file only has functions to be judged (as they are in a
// database).  Prints file:line, the rule, and what is wrong.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isBuiltinFunction, isBuiltinRelation, isBuiltinType } from './builtin.mjs';
import { options, parts, plpgsql, statements, walk } from './sql.mjs';

const rules = ['search-path', 'qualified', 'or-replace', 'definer', 'security-invoker', 'syntax'];
const safePath = 'pg_catalog,pg_temp';
const schemas = new Set(['pg_catalog', 'appdb', 'app_data', 'information_schema']);

// functions whose strings are SQL that is run later
const texts = new Set(['appdb.tables_sql', 'appdb.migrations_sql']);

// These have no search_path of their own, since the triggers of tables are to
// run with the caller's; what they execute is all made by appdb._purge_statements()
// and its like, which name everything in full.
const dynamic = new Set(['appdb._purge_stretch', 'appdb._purge_circles', 'appdb.__purge_stretch', 'appdb.__purge_circles']);

const settingOf = (node) => (node.kind === 'VAR_SET_VALUE' ? (node.args ?? []).map(({ A_Const: c }) => c?.sval?.sval ?? '').join(',') : undefined);

export function check(source, script) {
	const findings = [];
	const add = (line, rule, message) => findings.push({ line, rule, message });

	let all;
	try {
		all = statements(source);
	} catch (error) {
		add(error.line, 'syntax', error.message);
		return findings;
	}
	const [first] = all;
	if (script !== 'functions' && !(first?.kind === 'VariableSetStmt' && first.node.name === 'search_path' && first.node.is_local && settingOf(first.node) === safePath))
		add(first?.line ?? 1, 'search-path', 'the script does not begin with SET LOCAL search_path = pg_catalog, pg_temp');
	for (const statement of all) if (statement !== first || script === 'functions') statementRules(statement, statement.line);
	return findings.sort((a, b) => a.line - b.line);

	// a statement of the script itself, or of the text of the tables
	function statementRules(statement, line) {
		const { kind, node } = statement;
		const shift = line - statement.line;

		if (kind === 'VariableSetStmt' && node.name === 'search_path' && settingOf(node) !== safePath) add(line, 'search-path', 'search_path is set to something else');
		names(node, 'path', (message, location) => add(statement.lineOf(location) + shift, 'qualified', message));
		if (kind === 'CreateFunctionStmt') functionRules(statement, line);
		else if (kind === 'DoStmt') body('plpgsql', statement.text, line, 'path');
		else if (kind === 'AlterFunctionStmt') {
			if (options(node.actions).security?.boolval) add(line, 'definer', `${parts(node.func.objname).join('.')} is made SECURITY DEFINER afterwards: its definition has to say so, and its search_path`);
		} else if (kind === 'ViewStmt') {
			const set = options(node.options);
			if (!('security_invoker' in set) || !/^(true|on|1)$/.test(set.security_invoker?.sval ?? 'true'))
				add(line, 'security-invoker', `view ${node.view.schemaname}.${node.view.relname} reads with the rights of its owner, past row security`);
		}

		const creates = kind === 'CreateFunctionStmt' ? parts(node.funcname) : made(node);
		if (node.if_not_exists) add(line, 'or-replace', `IF NOT EXISTS takes over what somebody else has made`);
		if (node.replace && script === 'install') add(line, 'or-replace', `OR REPLACE takes over what somebody else has made`);
		// the server refuses it for functions and views that are not the extension's, and for nothing else
		if (node.replace && script === 'upgrade' && !(['CreateFunctionStmt', 'ViewStmt', 'DefineStmt'].includes(kind) && creates?.[0] === 'appdb'))
			add(line, 'or-replace', `OR REPLACE in an upgrade script is for functions and views of schema appdb, which have to be members`);
		// tables and views are judged as relations
		if (creates?.length === 1 && !node.relation && !node.view) add(line, 'qualified', `${creates[0]} is made in no schema`);
	}

	function functionRules({ node, text }, line) {
		const name = parts(node.funcname).join('.');
		const { language, as, security } = options(node.options);
		const paths = node.options.map(({ DefElem: d }) => d).filter((d) => d.defname === 'set' && d.arg.VariableSetStmt.name === 'search_path').map((d) => settingOf(d.arg.VariableSetStmt));
		const safe = paths.length > 0 && paths.every((path) => path === safePath);
		const lang = language?.sval;

		if (paths.length && !safe) add(line, 'search-path', `function ${name} has a search_path other than pg_catalog, pg_temp`);
		if (security?.boolval && !safe) add(line, 'definer', `function ${name} is SECURITY DEFINER without SET search_path = pg_catalog, pg_temp`);
		if (node.sql_body || lang === 'c' || lang === 'internal') return; // the body was resolved with the script's path, or is none
		const string = parts(as.items)[0];
		const at = text.indexOf(string);
		const bodyLine = line + (at < 0 ? 0 : text.slice(0, at).split('\n').length - 1);
		if (security?.boolval && /\bapp_data\b/.test(string)) add(line, 'definer', `function ${name} is SECURITY DEFINER and reaches into app_data, whose owner decides what runs there`);
		if (lang === 'plpgsql') body(lang, text, bodyLine, safe ? 'path' : 'none', name);
		else if (lang === 'sql') body(lang, string, bodyLine, safe ? 'path' : 'none', name);
		else add(line, 'syntax', `function ${name} is in language ${lang}, which cannot be checked`);

		if (texts.has(name)) {
			for (const inner of statements(string))
				walk(inner.node, (k, constant) => {
					const value = k === 'A_Const' && constant.sval?.sval;
					if (!value || !value.includes('\n')) return;
					const start = bodyLine + inner.lineOf(constant.location) - 1;
					try {
						for (const statement of statements(value)) statementRules(statement, start + statement.line - 1);
					} catch (error) {
						add(start + (error.line ?? 1) - 1, 'syntax', error.message);
					}
				});
		}
	}

	// what is in a string that is resolved each time it runs; path: "path" where
	// that is done with the safe search_path, "none" where with the caller's
	function body(language, text, line, path, name = 'DO') {
		const judge = (node, lineOf) => names(node, path, (message, location) => add(lineOf(location), 'qualified', `function ${name}: ${message}`));
		const parse = (sql, start) => {
			for (const statement of statements(sql)) judge({ [statement.kind]: statement.node }, (location) => start + statement.lineOf(location) - 1);
		};
		try {
			if (language === 'sql') return parse(text, line);
			for (const { query, mode, line: at, kind, type } of plpgsql(text)) {
				const start = line + at - 1;
				if (path === 'none' && (kind === 'dynexecute' || kind === 'dynfors') && !dynamic.has(name) && findings.at(-1)?.line !== start) add(start, 'qualified', `function ${name}: EXECUTE without SET search_path`);
				if (type !== undefined) {
					if (at > 0 && type !== 'record') parse(`SELECT NULL::${type.replace(/(\.[^.%]+)?%\w+$/, '')}`, start);
				} else if (mode === 0) parse(query, start);
				else if (mode === 1) parse(`SELECT NULL::${query}`, start);
				else parse(`SELECT ${mode === 2 ? query : query.replace(/^[^:=]*:?=/, '')}`, start);
			}
		} catch (error) {
			add(line + (error.line ?? 1) - 1, 'syntax', `function ${name}: ${error.message}`);
		}
	}
}

// the name of what a statement makes, in parts
function made(node) {
	const relation = node.relation && node.tableElts !== undefined ? node.relation : node.view ?? node.sequence;
	if (relation) return [relation.schemaname, relation.relname].filter(Boolean);
	return node.parameters || node.sql_body ? parts(node.funcname) : node.typeName && Array.isArray(node.typeName) ? parts(node.typeName) : node.defnames ? parts(node.defnames) : undefined;
}

// Reports the names below a node that do not say where they are.  With path
// "path" pg_catalog is searched first, then nothing but temporary relations and
// types; with "none" anything may be, and operators count too.
function names(node, path, report) {
	const local = new Set();
	walk(node, (k, n) => {
		if (k === 'CommonTableExpr') local.add(n.ctename);
		if (k === 'TriggerTransition') local.add(n.name);
	});
	const strict = path === 'none';
	const foreign = (list, location) => list.length > 1 && !schemas.has(list[0]) && report(`${list.join('.')} is in a schema of somebody else`, location);
	const operator = (list, location) => strict && list.length === 1 && report(`operator ${list[0]} has no schema`, location);

	walk(node, (k, n) => {
		if (k === 'LockingClause') return true; // aliases
		// words of options, which look like types
		if (k === 'DefElem' && /^(on|off|auto|safe|unsafe|restricted|read_only|read_write|shareable)$/.test(n.arg?.TypeName && parts(n.arg.TypeName.names)[0])) return true;
		if (k === 'RangeVar') {
			if (n.schemaname) foreign([n.schemaname, n.relname], n.location);
			else if (!local.has(n.relname) && (strict || !isBuiltinRelation(n.relname))) report(`relation ${n.relname} has no schema`, n.location);
		} else if (k === 'TypeName' && !n.pct_type) {
			const list = parts(n.names);
			foreign(list, n.location);
			if (list.length === 1 && (strict || !isBuiltinType(list[0]))) report(`type ${list[0]} has no schema`, n.location);
		} else if (k === 'FuncCall') {
			const list = parts(n.funcname);
			foreign(list, n.location);
			if (list.length === 1 && (strict || !isBuiltinFunction(list[0]))) report(`function ${list[0]}() has no schema`, n.location);
		} else if (k === 'A_Expr') {
			operator(parts(n.name), n.location);
		} else if (k === 'SubLink') {
			if (n.testexpr) operator(n.operName ? parts(n.operName) : ['='], n.location);
		} else if (k === 'SortBy') {
			if (n.useOp) operator(parts(n.useOp), n.location);
		} else if (k === 'CaseExpr') {
			if (n.arg) operator(['='], n.location);
		} else if (k === 'JoinExpr') {
			if (n.usingClause || n.isNatural) operator(['='], n.rtindex);
		} else if (k === 'CollateClause') {
			if (strict && n.collname.length === 1) report(`collation ${parts(n.collname)[0]} has no schema`, n.location);
		} else if (k === 'TypeCast') {
			const text = n.arg.A_Const?.sval?.sval;
			if (strict && text && /^reg/.test(parts(n.typeName.names).at(-1)) && !text.includes('.')) report(`${parts(n.typeName.names).at(-1)} ${text} has no schema`, n.location);
		}
	});
}

if (process.argv[1]?.endsWith('check-scripts.mjs')) {
	if (process.argv[2] === '--rules') console.log(rules.join('\n'));
	else
		for (const file of process.argv.slice(2)) {
			const versions = basename(file).match(/^appdb--[^-]+(--)?/);
			for (const { line, rule, message } of check(readFileSync(file, 'utf8'), !versions ? 'functions' : versions[1] ? 'upgrade' : 'install')) {
				console.log(`${file}:${line}: ${rule}: ${message}`);
				process.exitCode = 1;
			}
		}
}
