// appdb.find(), typed end to end: what a query may say, and what its result is, follow from the entities that were generated and from the query itself.

/** What the generator writes of an entity. */
export interface EntityShape {
  columns: object
  /** to-one relations, and the entities they lead to */
  one: object
  many: object
  /** many-to-many: the entity, and the one of the join table */
  through: object
  extras: object
}
type Es = object

type Shape<E extends Es, N extends keyof E> = E[N] extends EntityShape ? E[N] : never
type Columns<E extends Es, N extends keyof E> = Shape<E, N>['columns']
type One<E extends Es, N extends keyof E> = Shape<E, N>['one']
type Many<E extends Es, N extends keyof E> = Shape<E, N>['many']
type Through<E extends Es, N extends keyof E> = Shape<E, N>['through']
type Extras<E extends Es, N extends keyof E> = Shape<E, N>['extras']
type RelationName<E extends Es, N extends keyof E> = keyof One<E, N> | keyof Many<E, N> | keyof Through<E, N>
/** the entity that a relation leads to */
type Target<E extends Es, N extends keyof E, R> = R extends keyof One<E, N>
  ? Extract<One<E, N>[R], keyof E>
  : R extends keyof Many<E, N>
    ? Extract<Many<E, N>[R], keyof E>
    : R extends keyof Through<E, N>
      ? Through<E, N>[R] extends readonly [infer T, unknown]
        ? Extract<T, keyof E>
        : never
      : never
type Join<E extends Es, N extends keyof E, R> = R extends keyof Through<E, N> ? (Through<E, N>[R] extends readonly [unknown, infer J] ? Extract<J, keyof E> : never) : never

// == what may be asked ======================================================

type Direction = 'asc' | 'desc' | `${'asc' | 'desc'} nulls ${'first' | 'last'}` | { direction?: 'asc' | 'desc'; nulls?: 'first' | 'last' }

/** values as JSON and Dates have them */
type Value<T> = T extends Date ? Date | string : T extends number | bigint ? number | bigint | string : T extends Uint8Array ? Uint8Array | string : T

type Comparisons<T> = {
  eq?: T; ne?: T; gt?: T; gte?: T; lt?: T; lte?: T
  in?: readonly T[]; notIn?: readonly T[]
  isNull?: boolean; isNotNull?: boolean
}
type Texts = { like?: string; ilike?: string; notLike?: string; notIlike?: string }
type Arrays<T> = { arrayContains?: T; arrayContained?: T; arrayOverlaps?: T }
type Jsons = { contains?: unknown; containedBy?: unknown; hasKey?: string; hasAnyKey?: readonly string[]; hasAllKeys?: readonly string[] }
type Combined<T> = { AND?: readonly Condition<T>[]; OR?: readonly Condition<T>[]; NOT?: Condition<T> }

/** a column of JSON is the one whose type is not known */
type IsJson<T> = unknown extends T ? true : NonNullable<T> extends Record<string, unknown> ? (NonNullable<T> extends Date | Uint8Array ? false : true) : NonNullable<T> extends unknown[] ? (unknown extends NonNullable<T>[number] ? true : false) : false

type Condition<T> = IsJson<T> extends true
  ? (Comparisons<unknown> & Jsons & Combined<T>) | string | number | boolean | null
  : NonNullable<T> extends readonly unknown[]
    ? readonly NonNullable<T>[number][] | null | (Comparisons<readonly NonNullable<T>[number][]> & Arrays<readonly NonNullable<T>[number][]> & Combined<T>)
    : Value<NonNullable<T>> | null | (Comparisons<Value<NonNullable<T>>> & ([NonNullable<T>] extends [string] ? Texts : {}) & Combined<T>)

export type Where<E extends Es, N extends keyof E> = {
  [C in keyof Columns<E, N>]?: Condition<Columns<E, N>[C]>
} & {
  [R in RelationName<E, N>]?: boolean | Where<E, Target<E, N, R>>
} & {
  AND?: readonly Where<E, N>[]
  OR?: readonly Where<E, N>[]
  NOT?: Where<E, N>
}

type OrderItem<E extends Es, N extends keyof E> = keyof Columns<E, N> | ({ [C in keyof Columns<E, N>]?: Direction } & { [R in keyof One<E, N>]?: OrderItem<E, Extract<One<E, N>[R], keyof E>> })
type OrderBy<E extends Es, N extends keyof E> = OrderItem<E, N> | readonly OrderItem<E, N>[]

type ColumnChoice<E extends Es, N extends keyof E> = readonly (keyof Columns<E, N>)[] | { [C in keyof Columns<E, N>]?: boolean }

type Count<E extends Es, N extends keyof E> = boolean | ({ '*'?: boolean } & { [R in RelationName<E, N>]?: boolean | { where?: Where<E, Target<E, N, R>> } })

interface OneQuery<E extends Es, N extends keyof E> {
  columns?: ColumnChoice<E, N>
  with?: With<E, N>
  where?: Where<E, N>
  count?: Count<E, N>
  extras?: readonly (keyof Extras<E, N>)[]
  deleted?: 'only' | 'include'
}

/** What find() may be asked about an entity. */
export interface Query<E extends Es, N extends keyof E> extends OneQuery<E, N> {
  orderBy?: OrderBy<E, N>
  limit?: number
  offset?: number
  cursor?: boolean
  after?: string
  before?: string
  distinct?: true | readonly (keyof Columns<E, N>)[]
}

interface ThroughQuery<E extends Es, N extends keyof E, J extends keyof E> extends Query<E, N> {
  through?: boolean | { columns?: ColumnChoice<E, J>; where?: Where<E, J> }
}

type With<E extends Es, N extends keyof E> = {
  [R in RelationName<E, N>]?: boolean | RelationQuery<E, N, R>
}
type RelationQuery<E extends Es, N extends keyof E, R> = R extends keyof One<E, N>
  ? OneQuery<E, Target<E, N, R>>
  : R extends keyof Through<E, N>
    ? ThroughQuery<E, Target<E, N, R>, Join<E, N, R>>
    : Query<E, Target<E, N, R>>

// == nothing else may be asked ==============================================
//
// The type of a query is inferred, so an unknown key would go unnoticed: here it becomes an error, at every depth.

type Only<Q, K> = { [P in keyof Q]: P extends K ? Q[P] : never }

type StrictWhere<E extends Es, N extends keyof E, W> = {
  [P in keyof W]: P extends 'AND' | 'OR'
    ? StrictList<E, N, W[P]>
    : P extends 'NOT'
      ? StrictWhere<E, N, W[P]>
      : P extends RelationName<E, N>
        ? W[P] extends boolean ? W[P] : StrictWhere<E, Target<E, N, P>, W[P]>
        : P extends keyof Columns<E, N> ? W[P] : never
}

type StrictList<E extends Es, N extends keyof E, L> = { [I in keyof L]: StrictWhere<E, N, L[I]> }

type StrictCount<E extends Es, N extends keyof E, C> = C extends boolean
  ? C
  : {
      [P in keyof C]: P extends '*' ? C[P]
        : P extends RelationName<E, N> ? (C[P] extends { where: infer W } ? { [K in keyof C[P]]: K extends 'where' ? StrictWhere<E, Target<E, N, P>, W> : never } : C[P])
        : never
    }

export type Strict<E extends Es, N extends keyof E, Q, S> = {
  [P in keyof Q]: P extends keyof S
    ? P extends 'columns'
      ? Q[P] extends readonly unknown[] ? Q[P] : Only<Q[P], keyof Columns<E, N>>
      : P extends 'where'
        ? StrictWhere<E, N, Q[P]>
        : P extends 'count'
          ? StrictCount<E, N, Q[P]>
          : P extends 'with'
            ? { [R in keyof Q[P]]: R extends RelationName<E, N> ? (Q[P][R] extends boolean ? Q[P][R] : Strict<E, Target<E, N, R>, Q[P][R], RelationQuery<E, N, R>>) : never }
            : Q[P]
    : never
}

// == what comes of it =======================================================

type Simplify<T> = { [K in keyof T]: T[K] } & {}

type Chosen<E extends Es, N extends keyof E, C> = C extends readonly (infer K)[]
  ? Pick<Columns<E, N>, Extract<K, keyof Columns<E, N>>>
  : C extends object
    ? true extends C[keyof C]
      ? Pick<Columns<E, N>, { [K in keyof C]: C[K] extends true ? K : never }[keyof C] & keyof Columns<E, N>>
      : keyof C extends never
        ? {}
        : Omit<Columns<E, N>, { [K in keyof C]: C[K] extends false ? K : never }[keyof C] & string>
    : Columns<E, N>

type Key<Q, K extends string> = Q extends { [P in K]: infer V } ? V : undefined

type CountKeys<C> = { [K in keyof C]: K extends '*' ? never : C[K] extends false ? never : K }[keyof C]

type Counts<Q> = Key<Q, 'count'> extends infer C
  ? C extends object ? ([CountKeys<C>] extends [never] ? {} : { _count: { [K in CountKeys<C>]: number } }) : {}
  : {}

/** One row of a result. */
export type Row<E extends Es, N extends keyof E, Q> = Simplify<
  Chosen<E, N, Key<Q, 'columns'>> &
  (Key<Q, 'extras'> extends readonly (infer X)[] ? Pick<Extras<E, N>, Extract<X, keyof Extras<E, N>>> : {}) &
  Related<E, N, Key<Q, 'with'>> &
  Counts<Q> &
  (Key<Q, 'cursor'> extends true ? { _cursor: string } : {})
>

type Related<E extends Es, N extends keyof E, W> = W extends object
  ? { -readonly [R in keyof W as W[R] extends false | undefined ? never : R]: RelatedRows<E, N, R, W[R]> }
  : {}

type RelatedRows<E extends Es, N extends keyof E, R, Q> = R extends keyof One<E, N>
  ? Row<E, Target<E, N, R>, Q> | null
  : R extends keyof Through<E, N>
    ? Rows<Q, Simplify<Row<E, Target<E, N, R>, Q> & ThroughColumns<E, Join<E, N, R>, Key<Q, 'through'>>>>
    : Rows<Q, Row<E, Target<E, N, R>, Q>>

type ThroughColumns<E extends Es, J extends keyof E, T> = T extends true ? { _through: Columns<E, J> } : T extends object ? { _through: Simplify<Chosen<E, J, Key<T, 'columns'>>> } : {}

/** a list, or with "count" the list and how many there are */
type Rows<Q, R> = Key<Q, 'count'> extends infer C
  ? C extends true ? { rows: R[]; count: number } : C extends { '*': true } ? { rows: R[]; count: number } : R[]
  : R[]

/** What find() returns. */
export type Result<E extends Es, N extends keyof E, Q> = Rows<Q, Row<E, N, Q>>

// == at run time ============================================================

/** what the generator says: which columns have to be converted, and where relations lead */
export type Meta = { readonly [entity: string]: { readonly convert: { readonly [column: string]: string }; readonly relations: { readonly [name: string]: string | readonly [string, string] } } }

/** A query as JSON: Dates and bigints have no JSON of their own. What JSON would turn into null, or leave out of a condition, is refused: it would be another question. */
export function toJson(query: object): string {
  check(query, '$', false)
  return JSON.stringify({ ...query, case: 'camel', numbers: 'string' }, function (this: Record<string, unknown>, key: string, value: unknown) {
    const given = this[key]
    if (typeof given === 'bigint') return given.toString()
    if (given instanceof Uint8Array) return `\\x${Buffer.from(given).toString('hex')}`
    return value
  })
}

function check(value: unknown, path: string, condition: boolean): void {
  if (value === undefined && condition) throw new TypeError(`undefined at ${path}: leave the condition out, or say null`)
  if ((typeof value === 'number' && !Number.isFinite(value)) || (value instanceof Date && Number.isNaN(value.getTime()))) throw new TypeError(`${value} at ${path}`)
  if (typeof value !== 'object' || value === null || value instanceof Date || value instanceof Uint8Array) return
  for (const [key, inner] of Object.entries(value)) check(inner, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`, condition || (key === 'where' && inner !== undefined))
}

const convert: Record<string, (value: string) => unknown> = {
  date: (value) => new Date(value),
  utc: (value) => new Date(`${value}Z`),
  bytes: (value) => Buffer.from(value.slice(2), 'hex'),
  bigint: BigInt,
  number: Number,
}

/** Gives rows the types that they have: Dates, bytes and bigints, in place. */
export function revive(meta: Meta, entity: string, query: Record<string, any> | true | undefined, result: unknown): unknown {
  if (result === null || result === undefined) return null
  if (Array.isArray(result)) {
    for (const row of result) reviveRow(meta, entity, query, row)
    return result
  }
  const counted = typeof query === 'object' && (query.count === true || query.count?.['*'] === true)
  const rows = (result as { rows?: unknown }).rows
  if (counted && Array.isArray(rows)) for (const row of rows) reviveRow(meta, entity, query, row)
  else reviveRow(meta, entity, query, result as Record<string, unknown>)
  return result
}

function reviveRow(meta: Meta, entity: string, query: Record<string, any> | true | undefined, row: Record<string, unknown>) {
  const known = meta[entity]
  if (known === undefined) return
  reviveColumns(known.convert, row)
  if (typeof query !== 'object' || query.with === undefined) return
  for (const name in query.with) {
    const value = row[name]
    const to = known.relations[name]
    if (value === null || value === undefined || to === undefined) continue
    revive(meta, typeof to === 'string' ? to : to[0], query.with[name], value)
    if (typeof to === 'object' && query.with[name].through)
      for (const r of (Array.isArray(value) ? value : (value as { rows: unknown[] }).rows) as Record<string, unknown>[])
        if (r._through) reviveColumns(meta[to[1]]?.convert ?? {}, r._through as Record<string, unknown>)
  }
}

function reviveColumns(columns: Meta[string]['convert'], row: Record<string, unknown>) {
  for (const name in columns) {
    const value = row[name]
    const to = convert[columns[name]!]!
    if (typeof value === 'string') row[name] = to(value)
    else if (Array.isArray(value)) row[name] = value.map((v) => (typeof v === 'string' ? to(v) : v))
  }
}

/** find() and findOne() for the entities that were generated, through a client of type DB. */
export interface Finder<DB, E extends Es> {
  find<const N extends keyof E & string, const Q extends Query<E, N> = {}>(db: DB, entity: N, query?: Q & Strict<E, N, Q, Query<E, N>>): Promise<Result<E, N, Q>>
  findOne<const N extends keyof E & string, const Q extends Query<E, N> = {}>(db: DB, entity: N, query?: Q & Strict<E, N, Q, Query<E, N>>): Promise<Row<E, N, Q> | null>
}

/** Makes them, from what runs one statement: SELECT appdb.FUNCTION(entity, query). */
export function makeFinder<DB, E extends Es>(meta: Meta, run: (db: DB, name: 'find' | 'find_one', entity: string, query: string) => Promise<unknown>): Finder<DB, E> {
  const finding = (name: 'find' | 'find_one') => async (db: DB, entity: string, query: object = {}) =>
    revive(meta, entity, query as Record<string, any>, await run(db, name, entity, toJson(query)))
  return { find: finding('find'), findOne: finding('find_one') } as unknown as Finder<DB, E>
}
