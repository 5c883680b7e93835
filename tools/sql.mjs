// sql.mjs: SQL as PostgreSQL's own parser sees it, with the places in the file.
//
// libpg-query is the parser of PostgreSQL 18, compiled to WebAssembly: it reads
// what a server reads, also the bodies of PL/pgSQL functions.

import { loadModule, parseSync, parsePlPgSQLSync, scanSync } from 'libpg-query';

await loadModule();

// The statements of a file: { kind, node, text, line, comments }.  Throws an
// error with the line where it cannot be read.
export function statements(source) {
	// psql's commands, which only the first lines of a script have
	source = source.replace(/^\\.*$/gm, (line) => ' '.repeat(line.length));
	const bytes = Buffer.from(source);
	const newlines = [];
	bytes.forEach((byte, i) => byte === 10 && newlines.push(i));
	const lineAt = (offset) => newlines.filter((n) => n < offset).length + 1;

	if (!source.trim()) return [];
	let parsed;
	try {
		parsed = parseSync(source);
	} catch (error) {
		// its position counts characters
		const at = Buffer.byteLength([...source].slice(0, error.sqlDetails?.cursorPosition ?? 0).join(''));
		throw Object.assign(new Error(error.message), { line: lineAt(at) });
	}
	let end = 0;
	return (parsed.stmts ?? []).map(({ stmt, stmt_location: start = 0, stmt_len: length = bytes.length - start }) => {
		const before = bytes.subarray(end, start).toString();
		const whole = bytes.subarray(start, start + length).toString();
		const lead = whole.match(/^(?:\s+|--.*(?:\n|$)|\/\*[^]*?\*\/)*/)[0];
		const kind = Object.keys(stmt)[0];
		end = start + length;
		const first = start + Buffer.byteLength(lead);
		return {
			kind,
			node: stmt[kind],
			text: whole.slice(lead.length),
			line: lineAt(first),
			comments: before + lead,
			lineOf: (location) => (location ? lineAt(location) : lineAt(first)),
		};
	});
}

// Calls visit(kind, node, parents) for every node below; a true answer keeps it
// from going deeper.  Where the parser's structs have a field of one type, the
// kind is not written there: RangeVar and TypeName are known by what they hold.
export function walk(value, visit, parents = []) {
	if (Array.isArray(value)) {
		value.forEach((item) => walk(item, visit, parents));
	} else if (value && typeof value === 'object') {
		for (const [key, child] of Object.entries(value)) {
			const kind = !child || typeof child !== 'object' || Array.isArray(child) ? undefined
				: /^[A-Z]/.test(key) ? key : child.relname ? 'RangeVar' : child.names && 'typemod' in child ? 'TypeName' : undefined;
			if (kind && visit(kind, child, parents)) continue;
			walk(child, visit, kind ? [...parents, [kind, child]] : parents);
		}
	}
}

// a list of String nodes: the parts of a name
export const parts = (list) => (list ?? []).map((item) => item.String?.sval ?? '*');

// { name: argument } of a list of DefElem nodes
export const options = (list) =>
	Object.fromEntries((list ?? []).map(({ DefElem: d }) => [d.defname, d.arg ? Object.values(d.arg)[0] : undefined]));

// what is in the body of a PL/pgSQL function or DO block: { query, mode, line,
// kind } for SQL, { type, line } for variables; line counts from where the body
// begins (0: an argument, or a variable that is always there), mode is the parser's (0 a statement, 1 a type, 2 an
// expression, more an assignment), kind that of the statement around
export function plpgsql(text) {
	const found = [];
	const visit = (value, line, kind) => {
		if (Array.isArray(value)) value.forEach((item) => visit(item, line, kind));
		else if (value && typeof value === 'object') {
			// they come with EXCEPTION
			if (['sqlstate', 'sqlerrm'].includes(value.PLpgSQL_var?.refname)) return;
			if (value.PLpgSQL_type) found.push({ type: value.PLpgSQL_type.typname, line, kind });
			if (value.PLpgSQL_expr) found.push({ query: value.PLpgSQL_expr.query, mode: value.PLpgSQL_expr.parseMode ?? 0, line, kind });
			for (const [key, child] of Object.entries(value))
				visit(child, child?.lineno ?? line, key.startsWith('PLpgSQL_stmt_') ? key.slice('PLpgSQL_stmt_'.length) : kind);
		}
	};
	const functions = parsePlPgSQLSync(text);
	visit(functions.plpgsql_funcs ?? functions, 0, '');
	return found;
}

// can a name of lower-case letters stand without quotes, anywhere?
export const bare = (name) => ['NO_KEYWORD', 'UNRESERVED_KEYWORD'].includes(scanSync(name).tokens[0].keywordName);
