// PostGraphile on the live views, with the keys and relations that appdb.postgraphile_tags() gives it: every relation of
// appdb.relations that a foreign key stands for is a field, and answers as appdb.find() does.
//
//   npm ci && node postgraphile.mjs        PGHOST, PGUSER, PGDATABASE: a database with test/bench/find_data.sql
import pg from 'pg'
import { getNamedType, graphql } from 'graphql'
import { createPostGraphileSchema, withPostGraphileContext } from 'postgraphile'
import utils from 'graphile-utils'

const pool = new pg.Pool({ host: process.env.PGHOST, port: Number(process.env.PGPORT ?? 5432), user: process.env.PGUSER ?? 'postgres', database: process.env.PGDATABASE, max: 2 })
const value = async (text, values = []) => Object.values((await pool.query(text, values)).rows[0])[0]

let failed = 0, tests = 0
function check(ok, name, ...notes) {
  console.log(`${ok ? 'ok' : 'not ok'} ${++tests} - ${name}`)
  if (!ok) { failed++; for (const n of notes) console.log('#', (typeof n === 'string' ? n : JSON.stringify(n)).slice(0, 1500)) }
}

const tags = await value('SELECT appdb.postgraphile_tags()')
const schema = await createPostGraphileSchema(pool, ['appdb'], { dynamicJson: true, appendPlugins: [utils.makeJSONPgSmartTagsPlugin(tags)] })
const ask = (source) => withPostGraphileContext({ pgPool: pool }, (context) => graphql(schema, source, null, { ...context }))

// all relations between two tables are there, under their names
const camel = (name) => name.replace(/(?<=.)_([a-z0-9])/g, (_, c) => c.toUpperCase())
const { rows: relations } = await pool.query(`SELECT "from", name, kind FROM appdb.relations WHERE kind <> 'many-through'`)
// the type of a view's rows, by the field for all of them
const type = (view) => getNamedType(getNamedType(schema.getQueryType().getFields()[camel(`all_${view}`)].type).getFields().nodes.type)
const absent = relations.filter((r) => type(r.from).getFields()[camel(r.name)] === undefined)
check(relations.length > 40 && absent.length === 0, `all ${relations.length} relations of two tables are fields`, absent)

const id = (kind, n) => `${String(kind).padStart(8, '0')}-0000-7000-8000-${String(n).padStart(12, '0')}`
async function same(name, query, pick, entity, find) {
  const answer = await ask(query)
  const expected = await value('SELECT appdb.find(entity => $1, query => $2)', [entity, JSON.stringify(find)])
  const got = answer.data && pick(answer.data)
  check(JSON.stringify(got) === JSON.stringify(expected) && expected.length > 0, name, answer.errors ?? got, expected)
}
const nodes = (c) => c.nodes

await same('a chat, its author, its space and the last messages with their authors',
  `{ chatById(id: "${id(4, 38)}") { title author { name } space { name owner { name } } messages(orderBy: ID_DESC, first: 5) { nodes { content author { name } } } } }`,
  ({ chatById: c }) => [{ ...c, messages: nodes(c.messages) }],
  'chats', { columns: ['title'], where: { id: id(4, 38) }, with: { author: { columns: ['name'] }, space: { columns: ['name'], with: { owner: { columns: ['name'] } } }, messages: { columns: ['content'], orderBy: { id: 'desc' }, limit: 5, with: { author: { columns: ['name'] } } } } })
await same('folders, their parents and children, by keys of two columns',
  `{ allFolders(condition: { spaceId: "${id(2, 3)}" }, orderBy: ID_ASC) { nodes { name parent { name } children(orderBy: ID_ASC) { nodes { name } } notes(orderBy: ID_ASC, first: 2) { nodes { title } } } } }`,
  ({ allFolders: f }) => nodes(f).map((x) => ({ ...x, children: nodes(x.children), notes: nodes(x.notes) })),
  'folders', { columns: ['name'], where: { space_id: id(2, 3) }, orderBy: { id: 'asc' }, with: { parent: { columns: ['name'] }, children: { columns: ['name'], orderBy: { id: 'asc' } }, notes: { columns: ['title'], orderBy: { id: 'asc' }, limit: 2 } } })
await same('a user, their memberships and the spaces of these',
  `{ userById(id: "${id(1, 5)}") { email spaceMemberships(orderBy: ID_ASC) { nodes { role space { name } } } personalSpaces { nodes { name } } } }`,
  ({ userById: u }) => [{ email: u.email, space_memberships: nodes(u.spaceMemberships).map((m) => ({ ...m, role: m.role.toLowerCase() })), personal_spaces: nodes(u.personalSpaces) }],
  'users', { columns: ['email'], where: { id: id(1, 5) }, with: { space_memberships: { columns: ['role'], orderBy: { id: 'asc' }, with: { space: { columns: ['name'] } } }, personal_spaces: { columns: ['name'] } } })

// mutations go through the views: deletes are soft, with what belongs to the row
const messages = () => value(`SELECT count(*)::int FROM appdb.messages WHERE chat_id = $1`, [id(4, 38)])
const before = await messages()
const updated = await ask(`mutation { updateChatById(input: { id: "${id(4, 38)}", chatPatch: { title: "Renamed" } }) { chat { title space { name } } } }`)
check(updated.data?.updateChatById?.chat.title === 'Renamed', 'an update', updated)
const deleted = await ask(`mutation { deleteChatById(input: { id: "${id(4, 38)}" }) { chat { title } } }`)
check(deleted.data?.deleteChatById?.chat.title === 'Renamed' && before > 0 && await messages() === 0, 'a delete, and the messages with it', deleted, before)
check(await value(`SELECT count(*)::int FROM app_data.chats WHERE id = $1 AND deleted_at IS NOT NULL`, [id(4, 38)]) === 1, 'it is in the trash')
const gone = await ask(`{ chatById(id: "${id(4, 38)}") { title } spaceById(id: "${id(2, 39)}") { chats { nodes { id } } } }`)
check(gone.data?.chatById === null && !JSON.stringify(gone.data).includes(id(4, 38)), 'and seen no more, by no way', gone)

// as a user: the role of an application, and a session's token, said at the beginning of each request's transaction
async function askAs(web, token, source) {
  return await withPostGraphileContext({ pgPool: web, pgForceTransaction: true }, async (context) => {
    await context.pgClient.query('SELECT appdb.authenticate($1)', [token])
    return await graphql(schema, source, null, { ...context })
  })
}
const me = id(1, 5)
await pool.query(`INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES ($1, 'the token', now() + '1 day')`, [me])
await pool.query(`SELECT appdb.grant_access('appdb_test_postgraphile', 'app')`)
const mine = await pool.query(`SELECT s.name FROM appdb.spaces AS s WHERE s.owner_id = $1 OR s.id IN (SELECT m.space_id FROM appdb.space_members AS m WHERE m.user_id = $1) ORDER BY s.id`, [me])
for (const [how, host, database] of [['a user', process.env.PGHOST, process.env.PGDATABASE], ['a user, through pgbouncer', process.env.APPDB_POOL, 'appdb_test_postgraphile']]) {
  if (!host) continue
  const web = new pg.Pool({ host, port: Number(process.env.PGPORT ?? 5432), user: 'appdb_test_postgraphile', database, max: 2 })
  const query = '{ allSpaces(orderBy: ID_ASC) { nodes { name } } }'
  const seen = await askAs(web, 'the token', query)
  check(mine.rows.length > 0 && JSON.stringify(seen.data?.allSpaces.nodes) === JSON.stringify(mine.rows), `${how} sees what is theirs`, seen, mine.rows)
  const nobody = await withPostGraphileContext({ pgPool: web }, (context) => graphql(schema, query, null, { ...context }))
  check(nobody.data?.allSpaces.nodes.length === 0, `${how}: nobody afterwards`, nobody)
  await web.end()
}

console.log(`1..${tests}`)
await pool.end()
process.exit(failed ? 1 : 0)
