<?php
/*
 * tour.php: a tour of appdb with PHP's PDO: what docs/clients.md says of it.
 *
 *   php tour.php APPLICATION WORKER TOKEN
 *
 * The first two are connection strings ("dbname=… user=…"): of a role with
 * access level "app", and of one with level "service".  The token is that of a
 * session.
 */

[, $application, $worker, $token] = $argv;

function connect(string $conninfo): PDO
{
    // ATTR_EMULATE_PREPARES: pgbouncer in transaction mode does not know prepared statements (before 1.21)
    return new PDO('pgsql:' . str_replace(' ', ';', $conninfo), null, null,
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => true]);
}

function query(PDO $db, string $sql, array $values = []): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement;
}

// a transaction of the user whose session this is
function as_user(PDO $db, string $token, callable $work)
{
    $db->beginTransaction();
    try {
        query($db, 'SELECT appdb.authenticate(?)', [$token]);
        $result = $work($db);
        $db->commit();
        return $result;
    } catch (Throwable $error) {
        $db->rollBack();
        throw $error;
    }
}

$web = connect($application);

$chat = as_user($web, $token, function (PDO $db) {
    echo 'I am ', query($db, 'SELECT name FROM appdb.users WHERE id = appdb.current_user_id()')->fetchColumn(), "\n";
    $chat = query($db, 'SELECT * FROM appdb.chats WHERE title LIKE ?', ['Tour%'])->fetch(PDO::FETCH_ASSOC);
    echo 'chat: ', $chat['title'], "\n";
    $messages = query($db, 'SELECT m.content, a.name FROM appdb.chats AS c, appdb.messages(c) AS m, appdb.author(m) AS a WHERE c.id = ? ORDER BY m.id', [$chat['id']]);
    foreach ($messages as [$content, $name]) {
        echo "message: $content by $name\n";
    }
    $query = ['columns' => ['title'], 'where' => ['id' => $chat['id']], 'with' => ['messages' => ['columns' => ['content'], 'limit' => 1, 'orderBy' => 'id']]];
    $tree = json_decode(query($db, "SELECT appdb.find('chats', ?)", [json_encode($query)])->fetchColumn());
    echo 'found: ', $tree[0]->title, ' ', $tree[0]->messages[0]->content, "\n";
    return $chat;
});

as_user($web, $token, function (PDO $db) use ($chat) {
    $deleted = query($db, 'DELETE FROM appdb.chats WHERE id = ? RETURNING title', [$chat['id']]);
    echo 'deleted: ', $deleted->rowCount(), ' ', $deleted->fetchColumn(), "\n";
    echo 'messages left: ', query($db, 'SELECT count(*) FROM appdb.messages WHERE chat_id = ?', [$chat['id']])->fetchColumn(), "\n";
    query($db, "SELECT appdb.restore('appdb.chats', ?)", [$chat['id']]);
    echo 'messages restored: ', query($db, 'SELECT count(*) FROM appdb.messages WHERE chat_id = ?', [$chat['id']])->fetchColumn(), "\n";
});

// the transaction is over, and with it who asked
[$who, $chats] = query($web, 'SELECT appdb.current_user_id(), count(*) FROM appdb.chats')->fetch(PDO::FETCH_NUM);
echo 'afterwards: ', $who ?? 'None', ", $chats chats\n";
try {
    as_user($web, 'not a token', fn () => null);
} catch (PDOException $error) {
    echo 'refused: ', $error->getCode(), "\n";
}

// a task: the application wants it done, a worker does it
$task = as_user($web, $token, fn (PDO $db) =>
    query($db, "SELECT appdb.enqueue('tour.add', ?, queue => 'tour', user_id => appdb.current_user_id())", [json_encode(['a' => 1, 'b' => 2])])->fetchColumn());
$server = connect($worker);
foreach (query($server, "SELECT id, ticket, payload FROM appdb.claim('{tour}', 'tour.php')")->fetchAll() as ['id' => $id, 'ticket' => $ticket, 'payload' => $payload]) {
    $payload = json_decode($payload);
    query($server, 'SELECT appdb.complete(?, ?, ?)', [$id, $ticket, json_encode(['sum' => $payload->a + $payload->b])]);
}
as_user($web, $token, function (PDO $db) use ($task) {
    echo 'task: ', implode(' ', query($db, "SELECT status, result ->> 'sum' FROM appdb.tasks WHERE id = ?", [$task])->fetch(PDO::FETCH_NUM)), "\n";
});

// many rows at once, as what this user may insert
as_user($web, $token, function (PDO $db) use ($chat) {
    $rows = array_map(fn ($content) => implode("\t", [$chat['space_id'], $chat['id'], $chat['user_id'], 'user', $content]) . "\n", ['many', 'rows']);
    $db->pgsqlCopyFromArray('appdb.messages', $rows, "\t", '\\\\N', 'space_id, chat_id, user_id, role, content');
    echo 'copied: ', $db->exec("DELETE FROM appdb.messages WHERE content IN ('many', 'rows')"), "\n";
});
