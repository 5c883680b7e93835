// format.mjs: how the files of migrations are laid out.

// the line where the online part begins; Infinity where there is none
export function onlinePart(source) {
	const at = source.split('\n').findIndex((line) => /^-- == online/.test(line));
	return at < 0 ? Infinity : at + 1;
}
