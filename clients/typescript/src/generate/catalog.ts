// What the generator reads from a database: the managed tables with their columns, types and relations.

export interface Column {
  name: string
  /** the type as SQL writes it, without array brackets and with its modifiers: "timestamp(3) with time zone" */
  type: string
  /** the schema of the type, and its name there: enums are found by these */
  typeSchema: string
  typeName: string
  enum: boolean
  /** a row */
  composite: boolean
  /** the domain of an array's elements, which drivers leave as text */
  domain: string | null
  /** 0 for no array */
  dimensions: number
  notNull: boolean
  /** the default's expression */
  default: string | null
  /** 'a' (always), 'd' (by default) or '' */
  identity: string
  /** the expression of a generated column */
  generated: string | null
  /** what a check constraint says that JSON is: "object", "array" */
  json: string | null
  comment: string | null
}

export interface Entity {
  /** the name of the live view in schema appdb */
  name: string
  /** the base table */
  schema: string
  table: string
  softDelete: boolean
  comment: string | null
  columns: Column[]
  primaryKey: string[]
  /** columns that foreign keys can refer to: those of the primary key and of unique constraints */
  keys: string[]
  /** functions of a row that find() takes as extras */
  extras: { name: string; type: string; typeSchema: string; typeName: string; composite: boolean; domain: string | null; dimensions: number }[]
}

export interface Relation {
  from: string
  name: string
  kind: 'one' | 'many' | 'many-through'
  to: string
  columns: string[]
  toColumns: string[]
  through: string | null
  throughColumns: string[] | null
  throughToColumns: string[] | null
}

export interface Enum {
  schema: string
  name: string
  values: string[]
  comment: string | null
}

export interface Catalog {
  version: string
  entities: Entity[]
  relations: Relation[]
  enums: Enum[]
}

/** One statement, one JSON document. Names are qualified: the caller's search_path does not matter. */
export const catalogQuery = `
WITH RECURSIVE part AS MATERIALIZED (
  SELECT t.*, CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' AND t.typlen = -1 THEN t.typelem END AS of
  FROM pg_catalog.pg_type AS t
),
-- elements of arrays, and what domains are over
made AS (
  SELECT p.oid AS type, p.typtype, p.oid AS base, NULL::int4 AS typmod, 0 AS dims, NULL::oid AS domain FROM part AS p WHERE p.of IS NULL
  UNION ALL
  SELECT p.oid, p.typtype, m.base, CASE WHEN p.typtype = 'd' THEN coalesce(m.typmod, p.typtypmod) ELSE m.typmod END,
    m.dims + CASE WHEN p.typtype = 'd' THEN greatest(p.typndims - 1, 0) ELSE 1 END,
    CASE WHEN p.typtype <> 'd' AND m.typtype = 'd' THEN m.type ELSE m.domain END
  FROM made AS m JOIN part AS p ON p.of = m.type
),
entity AS MATERIALIZED (
  SELECT e.name, c.oid AS table_oid, v.oid AS view_oid, n.nspname, c.relname, e.soft_delete, e.comment
  FROM appdb.entities AS e
  JOIN pg_catalog.pg_class AS c ON c.oid = e.entity
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class AS v ON v.relname = e.name
    AND v.relnamespace = (SELECT s.oid FROM pg_catalog.pg_namespace AS s WHERE s.nspname = 'appdb')
),
col AS MATERIALIZED (
  SELECT e.name AS entity, a.attnum, a.attname, a.attnotnull, a.attidentity, a.attgenerated,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expr,
    pg_catalog.col_description(e.table_oid, a.attnum) AS comment,
    m.base AS type, coalesce(m.typmod, a.atttypmod) AS typmod, m.dims + greatest(a.attndims - 1, 0) AS dims, m.domain
  FROM entity AS e
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = e.table_oid AND a.attnum > 0 AND NOT a.attisdropped
  -- the live view has the column
  JOIN pg_catalog.pg_attribute AS va ON va.attrelid = e.view_oid AND va.attname = a.attname AND NOT va.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  JOIN made AS m ON m.type = a.atttypid
)
SELECT pg_catalog.json_build_object(
  'version', appdb.version(),
  'entities', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', e.name, 'schema', e.nspname, 'table', e.relname, 'softDelete', e.soft_delete, 'comment', e.comment,
      'columns', (
        SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
          'name', c.attname, 'type', pg_catalog.format_type(c.type, c.typmod), 'typeSchema', n.nspname, 'typeName', t.typname,
          'enum', t.typtype = 'e', 'composite', t.typtype = 'c', 'domain', pg_catalog.format_type(c.domain, NULL), 'dimensions', c.dims, 'notNull', c.attnotnull,
          'default', CASE WHEN c.attgenerated = '' THEN c.expr END, 'identity', c.attidentity,
          'generated', CASE WHEN c.attgenerated <> '' THEN c.expr END, 'comment', c.comment,
          'json', (SELECT pg_catalog.min(pg_catalog.substring(pg_catalog.pg_get_constraintdef(k.oid), 'jsonb?_typeof\\([^()]*\\) = ''(object|array)'''))
            FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = e.table_oid AND k.contype = 'c' AND k.conkey = ARRAY[c.attnum])) ORDER BY c.attnum)
        FROM col AS c JOIN pg_catalog.pg_type AS t ON t.oid = c.type JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
        WHERE c.entity = e.name),
      'primaryKey', (
        SELECT coalesce(pg_catalog.json_agg(a.attname ORDER BY k.n), '[]')
        FROM pg_catalog.pg_constraint AS p, pg_catalog.unnest(p.conkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_catalog.pg_attribute AS a ON a.attnum = k.attnum
        WHERE p.conrelid = e.table_oid AND p.contype = 'p' AND a.attrelid = e.table_oid),
      'keys', (
        SELECT coalesce(pg_catalog.json_agg(a.attname ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = e.table_oid AND EXISTS (
          SELECT FROM pg_catalog.pg_constraint AS p
          WHERE p.conrelid = e.table_oid AND p.contype IN ('p', 'u') AND a.attnum = ANY (p.conkey))),
      'extras', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
          'name', p.proname, 'type', pg_catalog.format_type(b.oid, m.typmod), 'composite', b.typtype = 'c', 'domain', pg_catalog.format_type(m.domain, NULL), 'typeSchema', tn.nspname, 'typeName', b.typname,
          'dimensions', m.dims) ORDER BY p.proname), '[]')
        FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_class AS v ON v.oid = e.view_oid
        JOIN pg_catalog.pg_type AS t ON t.oid = p.prorettype
        JOIN made AS m ON m.type = t.oid
        JOIN pg_catalog.pg_type AS b ON b.oid = m.base
        JOIN pg_catalog.pg_namespace AS tn ON tn.oid = b.typnamespace
        WHERE p.pronamespace = v.relnamespace AND p.pronargs = 1 AND p.proargtypes[0] = v.reltype
          AND NOT p.proretset AND p.prokind = 'f' AND t.typtype <> 'p' AND t.typtype <> 'c')
    ) ORDER BY e.name) FROM entity AS e),
  'relations', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'from', r."from", 'name', r.name, 'kind', r.kind, 'to', r."to", 'columns', r.columns, 'toColumns', r.to_columns,
      'through', r.through, 'throughColumns', r.through_columns, 'throughToColumns', r.through_to_columns)
      ORDER BY r."from", r.kind, r.name), '[]')
    FROM appdb.relations AS r),
  'enums', (
    SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'schema', n.nspname, 'name', t.typname, 'comment', pg_catalog.obj_description(t.oid, 'pg_type'),
      'values', (SELECT pg_catalog.json_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum AS l WHERE l.enumtypid = t.oid))
      ORDER BY n.nspname, t.typname), '[]')
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND t.oid IN (SELECT c.type FROM col AS c))
) AS catalog`
