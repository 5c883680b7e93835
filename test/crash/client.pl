#!/usr/bin/perl
#
# client.pl: a client of crash.sh, and who judges what is left of its work.
#
#   client.pl run FILE CLIENT      works until the server is gone
#   client.pl check FILE CLIENT    prints what is in the database and should not
#                                  be, or should be and is not
#   client.pl drain FILE CLIENT    does the tasks that are left
#
# The client alone works in its space, so its file says all that must be there.
# Before each transaction it writes "begin N ACT ARGUMENTS", and afterwards, once
# the server has said that it is committed, "done N RESULT", or "refused N"; both
# are on disk before it goes on.  A transaction that was begun and not answered
# may have happened or not: "check" finds out which, and notes it.

use strict;
use warnings;
use IO::Handle;
use IPC::Open2;
use List::Util qw(shuffle);

my ($mode, $file, $client) = @ARGV;
my $space = id('c');

sub id { sprintf '00000000-0000-4000-8000-%s%03d%08d', $_[0], $client, $_[1] // 0 }

# == what must be there ====================================================

# chats: id -> [title, live, { message id -> 'live', 'deleted' or 'with' the chat }]
# members: the live memberships of users 2 and 3; owner: 1 or 2; tasks: n -> 'open' or 'completed'
my %state = (chats => {}, members => {}, owner => 1, tasks => {}, leases => {});

sub clone {
	my ($s) = @_;
	return {
		%$s,
		chats => { map { $_ => [$s->{chats}{$_}[0], $s->{chats}{$_}[1], { %{ $s->{chats}{$_}[2] } }] } keys %{ $s->{chats} } },
		members => { %{ $s->{members} } }, tasks => { %{ $s->{tasks} } }, leases => { %{ $s->{leases} } }
	};
}

sub apply {
	my ($s, $act, $args, $result) = @_;
	my @a = @$args;
	if ($act eq 'chat') {
		my ($chat, $task, @messages) = @a;
		$s->{chats}{$chat} = ['', 1, { map { $_ => 'live' } @messages }];
		$s->{tasks}{$task} = 'open';
	}
	elsif ($act eq 'message') { $s->{chats}{ $a[0] }[2]{ $a[1] } = 'live' }
	elsif ($act eq 'title') { $s->{chats}{ $a[0] }[0] = $a[1] }
	elsif ($act eq 'delete_message') { $s->{chats}{ $a[0] }[2]{ $a[1] } = 'deleted' }
	elsif ($act eq 'delete_chat') {
		my $chat = $s->{chats}{ $a[0] };
		$chat->[1] = 0;
		$_ eq 'live' and $_ = 'with' for values %{ $chat->[2] };
	}
	elsif ($act eq 'restore_chat') {
		my $chat = $s->{chats}{ $a[0] };
		$chat->[1] = 1;
		$_ eq 'with' and $_ = 'live' for values %{ $chat->[2] };
	}
	elsif ($act eq 'join') { $s->{members}{ $a[0] } = $a[1] }
	elsif ($act eq 'leave') { delete $s->{members}{ $a[0] } }
	elsif ($act eq 'hand_over') { $s->{owner} = $a[0] }
	elsif ($act eq 'claim' || $act eq 'message_claim') {
		$s->{chats}{ $a[0] }[2]{ $a[1] } = 'live' if @a;
		my ($n, $id, $ticket) = split /\|/, $result // '';
		$s->{leases}{$n} = [$id, $ticket] if $ticket;
	}
	elsif ($act eq 'complete') {
		$s->{tasks}{ $a[0] } = 'completed';
		delete $s->{leases}{ $a[0] };
	}
	else { die "unknown act $act" }
}

# == its file ===============================================================

my ($n, @pending) = (0);

sub read_file {
	open my $in, '<', $file or return;
	my %begun;
	while (<$in>) {
		chomp;
		my ($what, $number, @rest) = split / /;
		if ($what eq 'begin') { $n = $number; $begun{$number} = [@rest] }
		elsif ($what eq 'done' || $what eq 'found') { my ($act, @args) = @{ delete $begun{$number} }; apply(\%state, $act, \@args, $rest[0]) }
		elsif ($what eq 'refused' || $what eq 'lost') {
			my ($act, @args) = @{ delete $begun{$number} };
			delete $state{leases}{ $args[0] } if $act eq 'complete';
		}
	}
	@pending = map { [$_, @{ $begun{$_} }] } sort { $a <=> $b } keys %begun;
	# one at a time
	die "$file: more than one transaction is open" if @pending > 1;
}

my $out;

sub note {
	$out //= do { open my $f, '>>', $file or die "$file: $!"; $f };
	print $out join(' ', @_), "\n";
	$out->flush and $out->sync or die "$file: $!";
}

# == the server =============================================================

my ($to, $from, $psql);

sub connect_server {
	$psql = open2($from, $to, 'psql', '-XAtq', '-v', 'VERBOSITY=verbose');
	$to->autoflush(1);
}

# One transaction, statements separated by \; for psql.  Returns the error's
# SQLSTATE ('' without one) and the lines of the result; ends where the server
# does.
sub transaction {
	my ($sql) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my @lines;
	print $to "$sql;\n\\echo \@ :ERROR :SQLSTATE\n";
	while (my $line = <$from>) {
		chomp $line;
		if (my ($error, $sqlstate) = $line =~ /^@ (\w+) (\w*)$/) {
			return ('', @lines) if $error eq 'false';
			# of the transaction itself, and no word of the end
			return ($sqlstate, @lines) if $sqlstate =~ /^(2[0-9A]|40|42|54|55|P0)/;
			last;
		}
		push @lines, $line;
	}
	exit 0;
}

sub query {
	my ($state, @lines) = transaction($_[0]);
	die "error $state: $_[0]\n" if $state;
	return @lines;
}

# == what it does ===========================================================

sub uuid { sprintf '%04x%04x-%04x-4%03x-8%03x-%04x%04x%04x', map { int rand $_ } 65536, 65536, 65536, 4096, 4096, 65536, 65536, 65536 }
sub pick { $_[int rand @_] }

# an act that can be done now, and its SQL
sub choose {
	my @chats = keys %{ $state{chats} };
	my @live = grep { $state{chats}{$_}[1] } @chats;
	my @deleted = grep { !$state{chats}{$_}[1] } @chats;
	my $die = rand 100;
	if ($die < 15 || !@live) {
		my ($chat, @messages) = map { uuid() } 0 .. 3;
		return ('chat', [$chat, $n, @messages],
			"INSERT INTO appdb.chats (id, space_id, title) VALUES ('$chat', '$space', '') \\; "
			  . "INSERT INTO appdb.messages (id, space_id, chat_id, role, content) VALUES " . join(', ', map { "('$_', '$space', '$chat', 'user', 'words')" } @messages)
			  . " \\; SELECT appdb.enqueue('crash', '{\"n\": $n}', queue => 'crash-$client', space_id => '$space')");
	}
	my $chat = pick(@live);
	if ($die < 35) {
		my $id = uuid();
		return ('message', [$chat, $id], "INSERT INTO appdb.messages (id, space_id, chat_id, role, content) VALUES ('$id', '$space', '$chat', 'user', repeat('words ', 100))");
	}
	if ($die < 40) { return ('title', [$chat, "title-$n"], "UPDATE appdb.chats SET title = 'title-$n' WHERE id = '$chat'") }
	if ($die < 50) {
		my @messages = grep { $state{chats}{$chat}[2]{$_} eq 'live' } keys %{ $state{chats}{$chat}[2] } or return;
		my $id = pick(@messages);
		return ('delete_message', [$chat, $id], "DELETE FROM appdb.messages WHERE id = '$id'");
	}
	if ($die < 58) { return ('delete_chat', [$chat], "DELETE FROM appdb.chats WHERE id = '$chat'") }
	if ($die < 65) {
		return if !@deleted;
		my $id = pick(@deleted);
		return ('restore_chat', [$id], "SELECT FROM appdb.restore('appdb.chats', '$id'::uuid)");
	}
	if ($die < 72) {
		my $user = 2 + int rand 2;
		if (my $id = $state{members}{$user}) { return ('leave', [$user], "DELETE FROM appdb.space_members WHERE id = '$id'") }
		my $id = uuid();
		return ('join', [$user, $id], "INSERT INTO appdb.space_members (id, space_id, user_id, role) VALUES ('$id', '$space', '" . id('a', $user) . "', 'editor')");
	}
	if ($die < 76) {
		my $new = 3 - $state{owner};
		return ('hand_over', [$new], "INSERT INTO appdb.members (organization_id, user_id, role) VALUES ('" . id('b') . "', '" . id('a', $new) . "', 'owner') \\; "
			  . "DELETE FROM appdb.members WHERE organization_id = '" . id('b') . "' AND user_id = '" . id('a', $state{owner}) . "'");
	}
	if ($die < 80) {
		# what only claims need not be on disk, this must
		my $id = uuid();
		return ('message_claim', [$chat, $id], "INSERT INTO appdb.messages (id, space_id, chat_id, role, content) VALUES ('$id', '$space', '$chat', 'user', 'words') \\; "
			  . "SELECT payload ->> 'n', id, ticket FROM appdb.claim('{crash-$client}', 'client $client', 1, '3 seconds')");
	}
	if ($die < 88) { return ('claim', [], "SELECT payload ->> 'n', id, ticket FROM appdb.claim('{crash-$client}', 'client $client', 1, '3 seconds')") }
	my @leases = keys %{ $state{leases} } or return;
	my $task = pick(@leases);
	return ('complete', [$task], "SELECT appdb.complete('$state{leases}{$task}[0]', $state{leases}{$task}[1])");
}

sub work {
	srand($client + $n * 1000);
	while (1) {
		$n++;
		my ($act, $args, $sql) = choose() or next;
		note('begin', $n, $act, @$args);
		my ($sqlstate, @lines) = transaction($sql);
		if ($sqlstate) {
			note('refused', $n, $sqlstate);
			delete $state{leases}{ $args->[0] } if $act eq 'complete';
		}
		else {
			my ($result) = grep { length } @lines;
			note('done', $n, $act =~ /claim/ ? $result // () : ());
			apply(\%state, $act, $args, $result);
		}
	}
}

# == what is there ==========================================================

# a state as lines
sub lines {
	my ($s) = @_;
	my @lines;
	for my $chat (keys %{ $s->{chats} }) {
		my ($title, $live, $messages) = @{ $s->{chats}{$chat} };
		push @lines, "chat $chat|$title|" . ($live ? 't' : 'f');
		push @lines, map { "message $_|$chat|" . ($messages->{$_} eq 'live' ? 't' : 'f') } keys %$messages;
	}
	push @lines, "member " . id('a', $_) for 1, keys %{ $s->{members} };
	push @lines, "owner " . id('a', $s->{owner});
	push @lines, "task $_|$s->{tasks}{$_}" for keys %{ $s->{tasks} };
	return sort @lines;
}

sub look {
	return sort(query(
		"SELECT 'chat ' || id, title, deleted_at IS NULL FROM app_data.chats WHERE space_id = '$space' \\; "
		. "SELECT 'message ' || id, chat_id, deleted_at IS NULL FROM app_data.messages WHERE space_id = '$space' \\; "
		. "SELECT 'member ' || user_id FROM appdb.space_members WHERE space_id = '$space' \\; "
		. "SELECT 'owner ' || user_id FROM appdb.members WHERE organization_id = '" . id('b') . "' AND role = 'owner' \\; "
		. "SELECT 'task ' || (payload ->> 'n'), CASE WHEN status IN ('pending', 'running') THEN 'open' ELSE status::text END FROM app_data.tasks WHERE queue = 'crash-$client'"));
}

sub difference {
	my ($must, $is) = @_;
	my %count;
	$count{$_}++ for @$must;
	$count{$_}-- for @$is;
	return map { ($count{$_} > 0 ? 'missing: ' : 'not expected: ') . $_ } grep { $count{$_} } sort keys %count;
}

sub check {
	my @is = look();
	my @must = lines(\%state);
	my @wrong = difference(\@must, \@is);
	if (@pending) {
		my ($number, $act, @args) = @{ $pending[0] };
		# a claim that nobody heard of ends with its lease
		my $after = clone(\%state);
		apply($after, $act, \@args);
		my @other = difference([lines($after)], \@is);
		if (@wrong && !@other) {
			note('found', $number);
			@wrong = ();
		}
		else { note('lost', $number) }
	}
	print "client $client: $_\n" for @wrong;
	printf STDERR "%d %d\n", scalar @must, $n;
	exit(@wrong ? 1 : 0);
}

# every task that is left can still be done
sub drain {
	for (1 .. 100_000) {
		my ($sqlstate, @lines) = transaction("SELECT payload ->> 'n', appdb.complete(id, ticket) FROM appdb.claim('{crash-$client}', 'drain', 100)");
		die "error $sqlstate\n" if $sqlstate;
		last if !@lines;
	}
	my @open = query("SELECT id, status, queued, run_at, locked_until FROM app_data.tasks WHERE queue = 'crash-$client' AND status <> 'completed'");
	print "client $client: not done: $_\n" for @open;
	exit(@open ? 1 : 0);
}

read_file();
connect_server();
if ($mode eq 'run') { work() }
elsif ($mode eq 'check') { check() }
elsif ($mode eq 'drain') { drain() }
else { die "run, check or drain\n" }
