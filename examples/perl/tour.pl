#!/usr/bin/perl
#
# tour.pl: a tour of appdb with DBD::Pg: what each part of docs/clients.md says.
#
#   perl tour.pl APPLICATION WORKER TOKEN
#
# The first two are connection strings: of a role with access level "app", and
# of one with level "service".  The token is that of a session.

use strict;
use warnings;
use DBI;
use JSON::PP;

my ($application, $worker, $token) = @ARGV;
my $json = JSON::PP->new->canonical;

sub connect_to {
	my ($conninfo) = @_;
	# pg_server_prepare => 0: pgbouncer in transaction mode does not know prepared statements (before 1.21)
	return DBI->connect('dbi:Pg:' . join(';', split ' ', $conninfo), undef, undef,
		{ RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_server_prepare => 0, pg_enable_utf8 => 1 });
}

# a transaction of the user whose session this is
sub as_user {
	my ($db, $token, $work) = @_;
	$db->begin_work;
	my $result = eval {
		$db->do('SELECT appdb.authenticate(?)', undef, $token);
		$work->();
	};
	if (my $error = $@) {
		my $state = $db->state;
		$db->rollback;
		die { state => $state, message => $error };
	}
	$db->commit;
	return $result;
}

my $db = connect_to($application);

my $chat = as_user($db, $token, sub {
	print 'I am ', $db->selectrow_array('SELECT name FROM appdb.users WHERE id = appdb.current_user_id()'), "\n";

	my $chats = $db->selectall_arrayref('SELECT id, title FROM appdb.chats WHERE title LIKE ? ORDER BY id', undef, 'Tour%');
	print "chat: $_->[1]\n" for @$chats;
	my $chat = $chats->[-1][0];

	# a relation is a function of a row
	my $messages = $db->selectall_arrayref(
		'SELECT m.content, a.name FROM appdb.chats AS c, appdb.messages(c) AS m, appdb.author(m) AS a WHERE c.id = ? ORDER BY m.id', undef, $chat);
	print "message: $_->[0] by $_->[1]\n" for @$messages;

	# a tree in one call
	my $query = { columns => ['title'], where => { id => $chat }, with => { messages => { columns => ['content'], limit => 1, orderBy => 'id' } } };
	my ($tree) = $db->selectrow_array("SELECT appdb.find('chats', ?)", undef, $json->encode($query));
	$tree = $json->decode($tree);
	print "found: $tree->[0]{title} $tree->[0]{messages}[0]{content}\n";
	return $chat;
});

as_user($db, $token, sub {
	# what belongs to the chat goes with it, and comes back with it
	my $deleted = $db->prepare('DELETE FROM appdb.chats WHERE id = ? RETURNING title');
	$deleted->execute($chat);
	print 'deleted: ', $deleted->rows, ' ', $deleted->fetchrow_array, "\n";
	my $count = 'SELECT count(*) FROM appdb.messages WHERE chat_id = ?';
	print 'messages left: ', $db->selectrow_array($count, undef, $chat), "\n";
	$db->do("SELECT appdb.restore('appdb.chats', ?)", undef, $chat);
	print 'messages restored: ', $db->selectrow_array($count, undef, $chat), "\n";
});

# the transaction is over, and with it who asked
my ($who, $count) = $db->selectrow_array('SELECT appdb.current_user_id(), count(*) FROM appdb.chats');
print 'afterwards: ', $who // 'None', ", $count chats\n";
eval { as_user($db, 'not a token', sub { }) };
print "refused: $@->{state}\n";

# a task: the application wants it done, a worker does it
my $task = as_user($db, $token, sub {
	my ($id) = $db->selectrow_array("SELECT appdb.enqueue('tour.add', ?, queue => 'tour', user_id => appdb.current_user_id())", undef, '{"a": 1, "b": 2}');
	return $id;
});
my $db2 = connect_to($worker);
for (@{ $db2->selectall_arrayref("SELECT id, ticket, payload FROM appdb.claim('{tour}', 'tour.pl')") }) {
	my ($id, $ticket, $payload) = @$_;
	my $numbers = $json->decode($payload);
	$db2->do('SELECT appdb.complete(?, ?, ?)', undef, $id, $ticket, $json->encode({ sum => $numbers->{a} + $numbers->{b} }));
}
$db2->disconnect;
as_user($db, $token, sub {
	my ($status, $result) = $db->selectrow_array('SELECT status, result FROM appdb.tasks WHERE id = ?', undef, $task);
	print "task: $status ", $json->decode($result)->{sum}, "\n";
});
$db->disconnect;
