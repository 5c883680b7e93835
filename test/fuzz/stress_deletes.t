#!/usr/bin/perl
#
# stress_deletes.t: soft deletes, cascades, restores, purges and the guard
# against a model of what is documented of them.
#
# Random tables with foreign keys of all kinds are filled and then changed by
# random statements, through the live views and behind them, in transactions
# with savepoints and errors.  After each statement all rows are read and
# compared with what the statement should have made of the rows before.  Each
# seed is run twice, with DELETEs done row by row and at once; both must do the
# same.  Then several clients do that at once, where only what holds in any case
# is looked at (what is lost, what lives under what is deleted, which errors),
# and the model goes on from there.
#
#   FUZZ_SEED      the first seed (default 1)
#   FUZZ_RUNS      how many (default 2, or 60 by "make stress")
#   FUZZ_STEPS     statements of each (default 40)
#   FUZZ_CLIENTS   how many at once (default 4; 0: none)
#   FUZZ_ALONE     0: only the clients at once
#   FUZZ_VERBOSE   print the statements
#
# What a seed that fails has done is left as a script in APPDB_TMP.  Needs a
# running server that has the extension (make check provides it).

use strict;
use warnings;
use IPC::Open2;
use List::Util qw(min max);

my $first_seed = $ENV{FUZZ_SEED} // 1;
my $runs = $ENV{FUZZ_RUNS} // ($ENV{APPDB_STRESS} ? 60 : 2);
my $steps = $ENV{FUZZ_STEPS} // 40;
my $clients = $ENV{FUZZ_CLIENTS} // 4;
my $alone = $ENV{FUZZ_ALONE} // 1;
my $work = $ENV{APPDB_TMP} // '/tmp';
my $verbose = $ENV{FUZZ_VERBOSE};
my $template = "appdb_fuzz_template_$$";
my $database = "appdb_fuzz_$$";
my $failed = 0;
my $test = 0;
my (%outcomes, %kinds);

sub result {
	my ($ok, $name, @notes) = @_;
	$test++;
	print(($ok ? 'ok' : 'not ok'), " $test - $name\n");
	print map { "# $_\n" } map { split /\n/ } @notes;
	$failed++ unless $ok;
}

# == a client ===============================================================

my ($to, $from, $pid);
my @script;                     # what was sent, to run again by hand

sub connect_to {
	my ($name, $options) = @_;
	local $ENV{PGOPTIONS} = "-c client_min_messages=error -c deadlock_timeout=20ms -c statement_timeout=60s $options";
	$pid = open2($from, $to, "exec psql -X -At -F '|' -d $name 2>&1");
	$to->autoflush(1);
	print $to "\\set VERBOSITY verbose\n";
	@script = ();
}

sub disconnect { close $to; close $from; waitpid $pid, 0 }

# a statement: (SQLSTATE, row count, tag, message, lines)
sub run {
	my ($sql, $data) = @_;
	push @script, "$sql;" . (defined $data ? "\n$data\\." : '');
	print "# $script[-1]\n" if $verbose;
	print $to "$sql;\n", (defined $data ? "$data\\.\n" : ''), "\\echo '\@\@' :SQLSTATE :ROW_COUNT\n";
	my @lines;
	my ($error, $message) = ('00000', '');
	while (1) {
		my $line = <$from>;
		die "connection lost: $sql\n" unless defined $line;
		chomp $line;
		# psql does not set its variables after COPY
		if ($line =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)/) { ($error, $message) = ($1, $2); next }
		next if $line =~ /^(DETAIL|HINT|LOCATION|CONTEXT|QUERY|SCHEMA NAME|TABLE NAME|COLUMN NAME|CONSTRAINT NAME|WARNING|NOTICE|LINE \d+|SQL statement|PL.pgSQL|\s+\^|\s*at ).*:?/;
		if ($line =~ /^\@\@ (\S+) (\d+)/) {
			my ($state, $count) = ($error, $2);
			my $tag = $state eq '00000' && @lines && $lines[-1] =~ /^[A-Z ]+( \d+)*$/ ? pop @lines : '';
			$count = $1 if $tag =~ /^COPY (\d+)/;
			print "# -> $state $tag $message ", join(' ; ', @lines), "\n" if $verbose && @lines < 20;
			return ($state, $count, $tag, $message, @lines);
		}
		push @lines, $line;
	}
}

my $may_fail;                   # among other clients

# one that must succeed: its lines
sub query {
	my ($sql) = @_;
	my ($state, $count, $tag, $message, @lines) = run($sql);
	die "$sql: $state $message\n" if $state ne '00000' && !($may_fail && $state =~ /^(40|25P02)/);
	pop @script;
	return @lines;
}

# == the tables =============================================================

my (@tables, %g_null, %partitioned, %columns, %soft, %managed, @fks, @links, %unique, %next_id);

sub chance { return rand() < $_[0] }
sub pick { return $_[ int rand @_ ] }
sub id { my ($table, $n) = @_; return sprintf('00000000-0000-4000-8%03d-%012d', $table =~ /(\d+)/ ? $1 : 999, $n) }

# one foreign key: from, to, columns as pairs, key (the column that refers to the id), action, deferred
sub make_tables {
	my $n = 3 + int rand 4;
	@tables = map { "app_data.f$_" } 0 .. $n - 1;
	%managed = map { $_ => 1 } @tables;
	%soft = map { $_ => 1 } @tables;
	for (@tables[ 1 .. $#tables ]) { $soft{$_} = 0 if chance(0.12) }
	@fks = @links = ();
	%columns = %unique = %next_id = %partitioned = ();
	my (@sql, @after, %options);
	# one that is partitioned, to which none can refer
	my $partitioned = chance(0.2) ? $#tables : -1;
	$partitioned{ $tables[$partitioned] } = 1 if $partitioned > 0;
	for my $i (0 .. $#tables) {
		my $t = $tables[$i];
		my @c = ('g', 'v', 'u');
		my $g_null = $g_null{$t} = chance(0.15);
		my $sql = "CREATE TABLE $t (id uuid PRIMARY KEY, g int" . ($g_null ? '' : ' NOT NULL') . ', v int, u int';
		for my $k (1 .. ($i == 0 ? int rand 2 : 1 + int rand 3)) {
			# mostly to those before, at times to itself or to one that comes later
			my $j = $i > 0 && chance(0.75) ? int rand $i : chance(0.5) ? $i : int rand @tables;
			$j = 0 if $j == $partitioned;
			my $column = "p$k";
			my $not_null = $j < $i && chance(0.4);
			my $composite = chance(0.35);
			my $action = pick('', '', '', 'NO ACTION', 'CASCADE', 'CASCADE', 'SET NULL', 'SET NULL', 'RESTRICT', 'SET DEFAULT');
			$action = '' if $not_null && $action =~ /SET/ || $composite && $action eq 'SET DEFAULT';
			my $deferred = $action eq 'RESTRICT' ? 0 : chance(0.15);
			my $on_update = $composite && chance(0.3);
			push @c, $column;
			$sql .= ", $column uuid" . ($not_null ? ' NOT NULL' : '');
			my @pairs = $composite ? (['g', 'g'], [$column, 'id']) : ([$column, 'id']);
			push @after, "ALTER TABLE $t ADD FOREIGN KEY (" . join(', ', map { $_->[0] } @pairs) . ") REFERENCES $tables[$j] (" . join(', ', map { $_->[1] } @pairs) . ")"
				. ($action ? " ON DELETE $action" . ($composite && $action eq 'SET NULL' ? " ($column)" : '') : '')
				. ($on_update ? ' ON UPDATE CASCADE' : '') . ($deferred ? ' DEFERRABLE INITIALLY DEFERRED' : '');
			push @after, "CREATE INDEX ON $t ($column)";
			my $fk = { child => $t, parent => $tables[$j], pairs => \@pairs, key => $column, action => $action || 'NO ACTION', deferred => $deferred, not_null => $not_null, on_update => $on_update };
			push @fks, $fk;
			if (chance(0.25)) {
				my $mode = pick('cascade', 'set null', 'restrict', 'purge');
				next if $mode eq 'set null' && $not_null || $mode eq 'cascade' && !$soft{$t};
				$fk->{option} = $mode;
				$options{$t}{$column} = $mode;
			}
		}
		# the id refers too: one row at most for each of the other table
		if ($i > 0 && chance(0.1)) {
			my $j = int rand $i;
			push @after, "ALTER TABLE $t ADD FOREIGN KEY (id) REFERENCES $tables[$j] (id)";
			push @fks, { child => $t, parent => $tables[$j], pairs => [ [ 'id', 'id' ] ], key => 'id', action => 'NO ACTION', deferred => 0, not_null => 1 };
		}
		$sql .= ', created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL' . ($soft{$t} ? ', deleted_at timestamptz' : '') . ', UNIQUE (g, id))' . ($i == $partitioned ? ' PARTITION BY HASH (id)' : '');
		push @sql, $sql;
		push @sql, map { "CREATE TABLE ${t}_$_ PARTITION OF $t FOR VALUES WITH (MODULUS 2, REMAINDER $_)" } 0, 1 if $i == $partitioned;
		if ($soft{$t} && chance(0.5) && $i != $partitioned) {
			$unique{$t} = 1;
			push @after, "CREATE UNIQUE INDEX ON $t (u) WHERE deleted_at IS NULL";
		}
		$columns{$t} = \@c;
		$next_id{$t} = 1;
	}
	for my $t (@tables) {
		my $o = $options{$t} ? "{" . join(', ', map { "\"$_\": {\"on_delete\": \"$options{$t}{$_}\"}" } sort keys %{ $options{$t} }) . "}" : '{}';
		push @after, "SELECT appdb.manage('$t', relations => '$o')";
	}
	# one that is not managed
	if (chance(0.3)) {
		my $t = 'public.x9';
		my $j = int rand($partitioned < 0 ? @tables : @tables - 1);
		my $action = pick('', 'CASCADE', 'SET NULL');
		push @after, "CREATE TABLE $t (id uuid PRIMARY KEY, v int, p1 uuid REFERENCES $tables[$j]" . ($action ? " ON DELETE $action" : '') . ')';
		push @fks, { child => $t, parent => $tables[$j], pairs => [ [ 'p1', 'id' ] ], key => 'p1', action => $action || 'NO ACTION', deferred => 0, not_null => 0 };
		push @tables, $t;
		$soft{$t} = $managed{$t} = 0;
		$columns{$t} = [ 'v', 'p1' ];
		$next_id{$t} = 1;
	}
	query($_) for @sql, @after;
	for my $fk (@fks) {
		next unless $managed{ $fk->{child} } && $soft{ $fk->{parent} };
		$fk->{mode} = $fk->{option} // ($fk->{action} eq 'SET NULL' ? 'set null' : $fk->{action} eq 'RESTRICT' ? 'restrict' : 'cascade');
		$fk->{mode} = 'purge' if $fk->{mode} eq 'cascade' && !$soft{ $fk->{child} };
		push @links, $fk;
	}
	push @script, @sql, @after;
	return (@sql, @after);
}

sub view { my $t = shift; return $managed{$t} ? $t =~ s/app_data/appdb/r : $t }

# == the model ==============================================================
# A state: {table}{id} is a row.  Notes: what rows have forgotten.

my ($state, $notes, %purged_stamps);
my $in_transaction;             # where deferred constraints wait

sub read_state {
	my %s;
	my $sql = join ' UNION ALL ', map {
		my $t = $_;
		"SELECT '$t', id::text, " . join(" || '|' || ", map { "COALESCE($_\::text, '')" } @{ $columns{$t} }, $managed{$t} ? ('created_at', 'updated_at') : (), $soft{$t} ? 'deleted_at' : ()) . " FROM $t"
	} @tables;
	for (query($sql)) {
		my ($t, $id, @v) = split /\|/, $_, -1;
		my %row = (table => $t, id => $id);
		for (@{ $columns{$t} }, $managed{$t} ? ('created_at', 'updated_at') : (), $soft{$t} ? 'deleted_at' : ()) {
			my $v = shift @v;
			$row{$_} = $v ne '' ? $v : undef;
		}
		$s{$t}{$id} = \%row;
	}
	return \%s;
}

sub copy_state { my $s = shift; return { map { my $t = $_; $t => { map { $_ => { %{ $s->{$t}{$_} } } } keys %{ $s->{$t} } } } keys %$s } }
sub rows { my $s = shift; return map { my $t = $_; map { $s->{$t}{$_} } sort keys %{ $s->{$t} } } @tables }
sub key { return "$_[0]{table}/$_[0]{id}" }
sub same { my ($a, $b) = @_; return defined $a ? defined $b && $a eq $b : !defined $b }
sub is_live { return !defined $_[0]{deleted_at} }

# the row that a row refers to, or undef; $any: by the key alone
sub parent_of {
	my ($s, $fk, $row, $any) = @_;
	return undef unless defined $row->{ $fk->{key} };
	my $parent = $s->{ $fk->{parent} }{ $row->{ $fk->{key} } } or return undef;
	return $parent if $any;
	for (@{ $fk->{pairs} }) {
		return undef unless defined $row->{ $_->[0] } && same($row->{ $_->[0] }, $parent->{ $_->[1] });
	}
	return $parent;
}

# what is wrong with a state: hash of SQLSTATEs; $all: deferred constraints too
sub violations {
	my ($s, $all) = @_;
	my %v;
	for my $fk (@fks) {
		next if $fk->{deferred} && $in_transaction && !$all;
		for my $row (values %{ $s->{ $fk->{child} } }) {
			next if grep { !defined $row->{ $_->[0] } } @{ $fk->{pairs} };
			$v{23503} = "$fk->{child} $row->{id} $fk->{key}" unless parent_of($s, $fk, $row);
		}
	}
	for my $t (keys %unique) {
		my %seen;
		for my $row (values %{ $s->{$t} }) {
			$v{23505} = "$t $row->{u}" if is_live($row) && defined $row->{u} && $seen{ $row->{u} }++;
		}
	}
	return \%v;
}

sub live_under_deleted {
	my ($s) = @_;
	my @wrong;
	for my $fk (@links) {
		for my $row (values %{ $s->{ $fk->{child} } }) {
			next unless is_live($row);
			my $parent = parent_of($s, $fk, $row);
			push @wrong, key($row) . " is live under " . key($parent) . " by $fk->{key}" if $parent && !is_live($parent);
		}
	}
	return sort @wrong;
}

# an expectation about the next state
sub expectation { return { new => {}, gone => {}, set => {}, del => {}, back => {}, lax => {}, stays => {}, may => {}, must => {} } }

# rows that are removed for good, and what their foreign keys do to others
sub expect_gone {
	my ($s, $e, @rows) = @_;
	my @todo = @rows;
	$e->{gone}{ key($_) } = 1 for @rows;
	while (my $row = shift @todo) {
		for my $fk (grep { $_->{parent} eq $row->{table} } @fks) {
			for my $c (values %{ $s->{ $fk->{child} } }) {
				my $p = parent_of($s, $fk, $c) or next;
				next unless $p == $row;
				if ($fk->{action} eq 'CASCADE') { push @todo, $c unless $e->{gone}{ key($c) }++ }
				elsif ($fk->{action} =~ /SET/) { $e->{set}{ key($c) }{ $fk->{key} } = undef }
			}
		}
	}
	# in what is left something may refer to what is not
	for my $fk (@fks) {
		next if $fk->{deferred} && $in_transaction;
		next if $fk->{action} =~ /SET|CASCADE/;
		for my $c (values %{ $s->{ $fk->{child} } }) {
			my $p = parent_of($s, $fk, $c) or next;
			next unless $e->{gone}{ key($p) };
			# it is asked before or after another foreign key has removed the row
			if ($e->{gone}{ key($c) }) { $e->{may}{$_} = 1 for '23503', '23001'; next }
			# which another foreign key may have undone
			if (exists $e->{set}{ key($c) } && exists $e->{set}{ key($c) }{ $fk->{key} }) { $e->{may}{23503} = 1; next }
			$e->{must}{$_} = key($c) for '23503', '23001';
		}
	}
}

# parts: [table, ids]
sub expect_delete {
	my ($s, $e, @parts) = @_;
	my (@todo, %purge);
	for my $part (@parts) {
		for my $id (@{ $part->[1] }) {
			my $row = $s->{ $part->[0] }{$id};
			next if $e->{del}{ key($row) }++;
			$e->{direct}{ key($row) } = $part->[0];
			push @todo, $row;
		}
	}
	while (my $row = shift @todo) {
		for my $fk (grep { $_->{parent} eq $row->{table} } @links) {
			for my $c (values %{ $s->{ $fk->{child} } }) {
				my $p = parent_of($s, $fk, $c) or next;
				next unless $p == $row;
				if ($fk->{mode} eq 'purge') { $purge{ key($c) } = $c }
				elsif (!is_live($c)) { }
				elsif ($fk->{mode} eq 'cascade') { push @todo, $c unless $e->{del}{ key($c) }++ }
				elsif ($fk->{mode} eq 'set null') { $e->{forgets}{ key($c) }{ $fk->{key} } = $p }
			}
		}
	}
	# what is deleted with it may not be forgotten, since it does not matter then
	for my $k (keys %{ $e->{forgets} }) {
		for (keys %{ $e->{forgets}{$k} }) {
			if ($e->{del}{$k}) { $e->{lax}{$k}{$_} = 1 } else { $e->{set}{$k}{$_} = undef }
		}
	}
	for my $fk (grep { $_->{mode} eq 'restrict' } @links) {
		for my $c (values %{ $s->{ $fk->{child} } }) {
			my $p = parent_of($s, $fk, $c);
			next unless $p && is_live($c) && $e->{del}{ key($p) };
			# the order decides
			if ($e->{del}{ key($c) } || $purge{ key($c) } || exists $e->{forgets}{ key($c) }) { $e->{may}{23001} = 1 unless $e->{direct}{ key($c) } }
			else { $e->{must}{23001} = key($c) }
		}
	}
	if (%purge) {
		my $before = { %{ $e->{set} } };
		expect_gone($s, $e, values %purge);
		# of what would be gone anyway, nothing else is asked
		$e->{loose} = 1 if grep { $e->{del}{$_} || $before->{$_} } keys %{ $e->{gone} }, keys %{ $e->{set} };
	}
	for (keys %{ $e->{gone} }) { delete $e->{del}{$_}; delete $e->{set}{$_} }
}

# what comes back with rows: the greatest set that can
sub expect_restore {
	my ($s, $e, @roots) = @_;
	my %in = map { key($_) => $_ } @roots;
	my @todo = @roots;
	while (my $row = shift @todo) {
		for my $fk (grep { $_->{parent} eq $row->{table} && $_->{mode} eq 'cascade' } @links) {
			for my $c (values %{ $s->{ $fk->{child} } }) {
				my $p = parent_of($s, $fk, $c) or next;
				next unless $p == $row && same($c->{deleted_at}, $row->{deleted_at}) && !$in{ key($c) };
				$in{ key($c) } = $c;
				push @todo, $c;
			}
		}
	}
	my %all = %in;
	my $removed = 1;
	while ($removed) {
		$removed = 0;
		for my $k (sort keys %in) {
			my $row = $in{$k};
			for my $fk (grep { $_->{child} eq $row->{table} && $_->{mode} ne 'set null' } @links) {
				my $p = parent_of($s, $fk, $row) or next;
				next if is_live($p) || $in{ key($p) };
				delete $in{$k};
				$removed = 1;
				last;
			}
		}
	}
	for (@roots) { $e->{must}{23503} = key($_) unless $in{ key($_) } }
	$e->{back}{$_} = 1 for keys %in;
	# the others of the operation may pass to the one that they wait for
	$e->{stays}{$_} = 1 for grep { !$in{$_} } keys %all;
	for my $row (values %in) {
		for my $fk (grep { $_->{child} eq $row->{table} && $_->{mode} eq 'set null' } @links) {
			my $p = parent_of($s, $fk, $row) or next;
			next if is_live($p) || $in{ key($p) };
			$e->{set}{ key($row) }{ $fk->{key} } = undef;
			$e->{forgets}{ key($row) }{ $fk->{key} } = $p;
			$kinds{'came back and forgot'}++;
		}
		# who has forgotten it
		for my $n (@$notes) {
			next unless $n->{parent} eq key($row);
			my ($t, $id) = split m{/}, $n->{child};
			my $c = $s->{$t}{$id} or next;
			next if defined $c->{ $n->{column} };
			my ($fk) = grep { $_->{child} eq $t && $_->{key} eq $n->{column} } @links;
			# it has gone elsewhere meanwhile
			next if grep { $_->[0] ne $fk->{key} && !same($c->{ $_->[0] }, $row->{ $_->[1] }) } @{ $fk->{pairs} };
			$e->{set}{ $n->{child} }{ $n->{column} } = $row->{id};
			$kinds{relinked}++;
		}
	}
	my $after = copy_state($s);
	for my $k (keys %in) { my ($t, $id) = split m{/}, $k; $after->{$t}{$id}{deleted_at} = undef }
	my $v = violations($after);
	$e->{must}{23505} = $v->{23505} if $v->{23505};
	for (@roots) { $e->{must}{55000} = key($_) if $purged_stamps{ $_->{deleted_at} } }
}

sub expect_purge {
	my ($s, $e) = @_;
	my %d = map { key($_) => $_ } grep { defined $_->{deleted_at} } rows($s);
	my $removed = 1;
	my $gone;
	while ($removed) {
		$removed = 0;
		# for each of them, all that goes with it
		for my $k (sort keys %d) {
			my %with = ($k => $d{$k});
			my @todo = ($d{$k});
			while (my $row = shift @todo) {
				for my $fk (grep { $_->{parent} eq $row->{table} } @fks) {
					for my $c (values %{ $s->{ $fk->{child} } }) {
						my $p = parent_of($s, $fk, $c) or next;
						next unless $p == $row;
						if ($fk->{action} eq 'CASCADE') {
							next if $with{ key($c) };
							$with{ key($c) } = $c;
							push @todo, $c;
						}
						elsif ($fk->{action} !~ /SET/ && !$d{ key($c) } && !$with{ key($c) }) { $removed = 1 }
					}
				}
				last if $removed;
			}
			if ($removed) { delete $d{$k}; last }
		}
	}
	expect_gone($s, $e, values %d);
	$e->{must} = {};
	$e->{may} = {};
	# rows that others go with, after they have forgotten: either
	delete $e->{set}{$_} for keys %{ $e->{gone} };
}

# == comparing ==============================================================

# Is $new what is expected after $old?  Returns what is not.
sub differences {
	my ($old, $new, $e, $moved) = @_;
	my @wrong;
	my %stamps = map { $_->{deleted_at} // '' => 1 } rows($old);
	my $latest = max(map { $_->{deleted_at} ? time_of($_->{deleted_at}) : 0 } rows($old));
	my %of_part;
	for my $row (rows($old)) {
		my $k = key($row);
		my $now = $new->{ $row->{table} }{ $row->{id} };
		if ($e->{gone}{$k}) { push @wrong, "$k is still there" if $now; next }
		if (!$now) { push @wrong, "$k is gone"; next }
		my $changed = 0;
		for my $c (@{ $columns{ $row->{table} } }) {
			my $want = exists $e->{set}{$k} && exists $e->{set}{$k}{$c} ? $e->{set}{$k}{$c} : $row->{$c};
			$changed = 1 unless same($row->{$c}, $now->{$c});
			next if same($want, $now->{$c});
			next if $e->{lax}{$k} && $e->{lax}{$k}{$c} && !defined $now->{$c};
			push @wrong, "$k $c is " . ($now->{$c} // 'null') . ', not ' . ($want // 'null');
		}
		next unless $managed{ $row->{table} };
		push @wrong, "$k created_at changed" unless same($row->{created_at}, $now->{created_at});
		if ($soft{ $row->{table} }) {
			$changed = 1 unless same($row->{deleted_at}, $now->{deleted_at});
			if ($e->{del}{$k}) {
				if (!defined $now->{deleted_at}) { push @wrong, "$k is not deleted" }
				else {
					push @wrong, "$k has an old stamp" if $stamps{ $now->{deleted_at} };
					push @{ $of_part{ $e->{direct}{$k} } }, $now->{deleted_at} if $e->{direct}{$k};
				}
			}
			elsif ($e->{back}{$k}) { push @wrong, "$k is not back" if defined $now->{deleted_at} }
			elsif ($e->{stays}{$k}) {
				push @wrong, "$k came back" unless defined $now->{deleted_at};
				push @wrong, "$k has a new stamp" unless $stamps{ $now->{deleted_at} // '' };
			}
			elsif (!same($row->{deleted_at}, $now->{deleted_at})) { push @wrong, "$k deleted_at is " . ($now->{deleted_at} // 'null') . ', not ' . ($row->{deleted_at} // 'null') }
		}
		if ($changed) { push @wrong, "$k updated_at is $now->{updated_at}, was $row->{updated_at}" if time_of($now->{updated_at}) < time_of($row->{updated_at}) || $moved && $now->{updated_at} eq $row->{updated_at} }
		else { push @wrong, "$k updated_at moved" unless same($row->{updated_at}, $now->{updated_at}) }
	}
	for my $row (rows($new)) {
		my $k = key($row);
		next if $old->{ $row->{table} }{ $row->{id} };
		my $want = $e->{new}{$k};
		if (!$want) { push @wrong, "$k is new"; next }
		for (@{ $columns{ $row->{table} } }) { push @wrong, "$k $_ is " . ($row->{$_} // 'null') unless same($row->{$_}, $want->{$_}) }
		push @wrong, "$k is deleted" unless same($row->{deleted_at}, $want->{deleted_at}) || !$soft{ $row->{table} };
	}
	for (keys %{ $e->{new} }) { my ($t, $id) = split m{/}; push @wrong, "$_ is not there" unless $new->{$t}{$id} }
	# one operation, one stamp, also for what went with it
	for (keys %of_part) { my %s = map { $_ => 1 } @{ $of_part{$_} }; push @wrong, "several stamps in $_" if keys %s > 1 }
	for my $k (keys %{ $e->{del} }) {
		my ($t, $id) = split m{/}, $k;
		my $row = $new->{$t}{$id} or next;
		next unless defined $row->{deleted_at} && !$e->{direct}{$k};
		next if grep { my $p = parent_of($new, $_, $row); $_->{child} eq $t && $_->{mode} eq 'cascade' && $p && same($p->{deleted_at}, $row->{deleted_at}) } @links;
		push @wrong, "$k has another stamp than its parents";
	}
	for my $k (keys %{ $e->{stays} }) {
		my ($t, $id) = split m{/}, $k;
		my $row = $new->{$t}{$id} or next;
		$kinds{passed}++ unless same($row->{deleted_at}, $old->{$t}{$id}{deleted_at});
		next if grep { my $p = parent_of($new, $_, $row); $_->{child} eq $t && $_->{mode} ne 'set null' && $p && same($p->{deleted_at}, $row->{deleted_at}) } @links;
		push @wrong, "$k is of no parent's operation";
	}
	return @wrong;
}

sub time_of { my $t = shift; $t =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)(\.\d+)?/ or die $t; return ((((($1 * 12 + $2) * 31 + $3) * 24 + $4) * 60 + $5) * 60 + $6) * 1000000 + substr(($7 // '.') . '000000', 1, 6) }

sub expected_trash {
	my ($s) = @_;
	my %trash;
	ROW: for my $row (grep { defined $_->{deleted_at} } rows($s)) {
		for my $fk (grep { $_->{child} eq $row->{table} && $_->{mode} eq 'cascade' } @links) {
			my $p = parent_of($s, $fk, $row);
			next ROW if $p && $p != $row && same($p->{deleted_at}, $row->{deleted_at});
		}
		my %seen = (key($row) => 1);
		my @todo = ($row);
		while (my $r = shift @todo) {
			for my $fk (grep { $_->{parent} eq $r->{table} && $_->{mode} eq 'cascade' } @links) {
				for my $c (values %{ $s->{ $fk->{child} } }) {
					my $p = parent_of($s, $fk, $c) or next;
					push @todo, $c if $p == $r && same($c->{deleted_at}, $row->{deleted_at}) && !$seen{ key($c) }++;
				}
			}
		}
		$trash{ key($row) } = (keys(%seen) - 1) . '|' . ($purged_stamps{ $row->{deleted_at} } ? 'f' : 't');
	}
	return \%trash;
}

sub trash_differences {
	my ($s) = @_;
	my $want = expected_trash($s);
	my %got = map { my ($t, $id, $n, $r) = split /\|/; ("$t/$id" => "$n|$r") } query("SELECT entity, id, rows_with_it, restorable FROM appdb.trash");
	my @wrong;
	for (sort keys %{ { %$want, %got } }) {
		push @wrong, "trash: $_ is " . ($got{$_} // 'missing') . ', not ' . ($want->{$_} // 'there') unless same($want->{$_}, $got{$_});
	}
	return @wrong;
}

# == statements =============================================================

sub some_row { my ($t, $which) = @_; my @r = grep { !$which || $which->($_) } map { $state->{$t}{$_} } sort keys %{ $state->{$t} }; return @r ? pick(@r) : undef }
sub lit { my $v = shift; return defined $v ? $v =~ /-/ ? "'$v'" : $v : 'NULL' }

# values for the columns of a row that (mostly) fit together
sub some_values {
	my ($t, $id, %fixed) = @_;
	my %v = (v => int rand 20, u => chance(0.8) ? int rand 40 : undef, g => int rand 3, %fixed);
	my @own = grep { $_->{child} eq $t && $_->{key} ne 'id' } @fks;
	for my $fk (@own) {
		next if exists $fixed{ $fk->{key} };
		my $composite = @{ $fk->{pairs} } > 1;
		my $want_null = !$fk->{not_null} && chance(0.2);
		my $p = $want_null ? undef : some_row($fk->{parent}, sub { (is_live($_[0]) || chance(0.1)) && (!$composite || same($_[0]{g}, $v{g}) || chance(0.02)) });
		$v{ $fk->{key} } = $p ? $p->{id} : $fk->{not_null} ? undef : undef;
		$v{ $fk->{key} } = id($fk->{parent}, 999) if chance(0.01);
		$v{ $fk->{key} } = $id if $fk->{parent} eq $t && defined $id && chance(0.1);
	}
	$v{g} = undef if $g_null{$t} ? chance(0.2) : chance(0.01);
	delete @v{ grep { my $c = $_; !grep { $_ eq $c } @{ $columns{$t} } } keys %v };
	return \%v;
}

sub new_id {
	my ($t) = @_;
	my ($one) = grep { $_->{child} eq $t && $_->{key} eq 'id' } @fks;
	if ($one) {
		my $p = some_row($one->{parent}, sub { !$state->{$t}{ $_[0]{id} } && (is_live($_[0]) || chance(0.05)) });
		return $p ? $p->{id} : undef;
	}
	return id($t, $next_id{$t}++);
}

# errors that a row's new values cause at once
sub expect_row {
	my ($s, $e, $row, $old) = @_;
	my $t = $row->{table};
	for my $fk (grep { $_->{child} eq $t } @fks) {
		if ($fk->{not_null} && !defined $row->{ $fk->{key} }) { $e->{must}{23502} = $fk->{key} }
		next unless $fk->{mode} && is_live($row);
		next if grep { !defined $row->{ $_->[0] } } @{ $fk->{pairs} };
		my $p = parent_of($s, $fk, $row, 1) or next;
		next if is_live($p);
		my $exact = parent_of($s, $fk, $row);
		next if $old && same($old->{ $fk->{key} }, $row->{ $fk->{key} }) && !grep { !same($old->{ $_->[0] }, $row->{ $_->[0] }) } @{ $fk->{pairs} };
		# under a parent of which only the key fits there is nothing to guard, but the foreign key may refuse
		if ($exact) { $e->{must}{23503} = key($row) . " under $fk->{key}" } else { $e->{may}{23503} = 1 }
	}
	$e->{must}{23502} = 'g' if $managed{$t} && !defined $row->{g} && !$g_null{$t};
}

my $one_by_one;
# what foreign keys make of rows whose parents have another g
sub expect_update {
	my ($before, $after, $e, @rows) = @_;
	while (my $row = shift @rows) {
		my $old = $before->{ $row->{table} }{ $row->{id} };
		next if same($old->{g}, $row->{g});
		for my $fk (grep { $_->{on_update} && $_->{parent} eq $row->{table} } @fks) {
			for my $c (values %{ $before->{ $fk->{child} } }) {
				my $p = parent_of($before, $fk, $c) or next;
				next if $p->{id} ne $row->{id};
				my $now = $after->{ $c->{table} }{ $c->{id} };
				# it has gone elsewhere at the same time
				next unless same($now->{ $fk->{key} }, $row->{id});
				next if same($now->{g}, $row->{g});
				$now->{g} = $e->{set}{ key($c) }{g} = $row->{g};
				# another foreign key may be looked at before
				$e->{may}{23503} = 1;
				expect_row($after, $e, $now, $c);
				push @rows, $now;
			}
		}
	}
}

sub some_condition {
	my ($t) = @_;
	my @own = grep { $_->{child} eq $t } @fks;
	my @c = ("x.v % 4 = " . int rand 4, "x.g = " . int rand 3, "x.u > " . int rand 40, 'x.v = (SELECT min(z.v) FROM ' . view($t) . ' z)');
	my $row = some_row($t, \&is_live);
	return "x.id = '$row->{id}'" if $row && $one_by_one;
	push @c, ("x.id = '$row->{id}'") x 6 if $row;
	my $other = some_row($t);
	push @c, "x.id IN ('$row->{id}', '$other->{id}')" if $row;
	if (@own) {
		my $fk = pick(@own);
		my $p = some_row($fk->{parent});
		push @c, "x.$fk->{key} = '$p->{id}'" if $p;
		push @c, "x.$fk->{key} IN (SELECT y.id FROM " . view($fk->{parent}) . " y WHERE y.v % 3 = " . int(rand 3) . ")";
	}
	return pick(@c);
}

# what a DELETE names: (FROM ..., USING ..., WHERE ...)
sub some_target {
	my ($t) = @_;
	my @own = grep { $_->{child} eq $t } @fks;
	if (@own && chance(0.3) && !$one_by_one) {
		my $fk = pick(@own);
		return (view($t) . ' AS x', view($fk->{parent}) . ' AS y', "x.$fk->{key} = y.id AND y.v % 3 = " . int rand 3);
	}
	return (view($t) . ' AS x', '', some_condition($t));
}

sub matching { my ($target, $using, $where) = @_; return query("SELECT DISTINCT x.id FROM $target" . ($using ? ", $using" : '') . " WHERE $where") }

my @prepared;

# Each returns (statement, data for COPY, expectation, what it returns or undef)
my %make = (
	delete => sub {
		my $t = pick(grep { $managed{$_} } @tables);
		my ($target, $using, $where) = some_target($t);
		my @ids = matching($target, $using, $where);
		my $e = expectation();
		if ($soft{$t}) { expect_delete($state, $e, [ $t, \@ids ]) } else { expect_gone($state, $e, map { $state->{$t}{$_} } @ids) }
		my $sql = "DELETE FROM $target" . ($using ? " USING $using" : '') . " WHERE $where";
		$e->{count} = @ids;
		my $how = rand;
		my @p = grep { /^p/ } @{ $columns{$t} };
		if ($how < 0.3) { return ($sql, undef, $e) }
		my $soft = $soft{$t} ? ', x.deleted_at IS NULL' : '';
		$e->{rows} = [ map { join '|', map { $_ // '' } $_->{id}, @$_{ 'v', @p }, $soft ? 't' : () } map { $state->{$t}{$_} } @ids ];
		my $returning = 'RETURNING x.id, ' . join(', ', map { "x.$_" } 'v', @p) . $soft;
		return ("$sql $returning", undef, $e) if $how < 0.6;
		if ($how < 0.8) { return ("WITH d AS ($sql $returning) SELECT * FROM d", undef, $e) }
		delete $e->{rows};
		delete $e->{count};
		return ("DO \$do\$ BEGIN $sql; END \$do\$", undef, $e);
	},
	delete_many => sub {
		my ($a, $b) = map { pick(grep { $soft{$_} } @tables) } 1, 2;
		my @ta = some_target($a);
		my @tb = some_target($b);
		my @ia = matching(@ta);
		my @ib = matching(@tb);
		my $e = expectation();
		expect_delete($state, $e, [ $a, \@ia ], [ $b, \@ib ]);
		# a row that both parts delete is returned by one of them
		my %both = map { ("$a/$_" => 1) } @ia;
		$both{"$b/$_"} = 1 for @ib;
		$e->{count} = keys %both;
		my ($da, $db) = map { "DELETE FROM $_->[0]" . ($_->[1] ? " USING $_->[1]" : '') . " WHERE $_->[2] RETURNING x.id" } [@ta], [@tb];
		return ("WITH a AS ($da), b AS ($db) SELECT 'a' FROM a UNION ALL SELECT 'b' FROM b", undef, $e);
	},
	delete_below => sub {
		# within one table, which part has a row decides what the other comes to
		my $fk = pick(grep { $_->{mode} && $soft{ $_->{child} } && $_->{parent} ne $_->{child} } @fks) or return;
		my @ta = (view($fk->{parent}) . ' AS x', '', some_condition($fk->{parent}));
		my @ia = matching(@ta);
		my $in = join ', ', map { "'$_'" } @ia, '00000000-0000-0000-0000-000000000000';
		my @ib = matching(view($fk->{child}) . ' AS x', '', "x.$fk->{key} IN ($in)");
		my $e = expectation();
		expect_delete($state, $e, [ $fk->{parent}, \@ia ], [ $fk->{child}, \@ib ]);
		$e->{count} = @ib;
		return ("WITH a AS (DELETE FROM $ta[0] WHERE $ta[2] RETURNING x.id) DELETE FROM " . view($fk->{child}) . " AS x USING a WHERE x.$fk->{key} = a.id RETURNING x.id", undef, $e);
	},
	delete_prepared => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $name = 'd' . ($t =~ /(\d+)/)[0];
		push @prepared, $name if !grep { $_ eq $name } @prepared and query("PREPARE $name (uuid[]) AS DELETE FROM " . view($t) . " x WHERE id = ANY (\$1) RETURNING x.id") || 1;
		my @ids = map { $_ ? $_->{id} : () } map { some_row($t) } 1 .. 2;
		my %ids = map { $_ => 1 } grep { is_live($state->{$t}{$_}) } @ids;
		my $e = expectation();
		expect_delete($state, $e, [ $t, [ keys %ids ] ]);
		$e->{count} = keys %ids;
		$e->{rows} = [ keys %ids ];
		return ("EXECUTE $name ('{" . join(',', @ids) . "}')", undef, $e);
	},
	delete_by_update => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $where = some_condition($t);
		my @ids = matching(view($t) . ' AS x', '', $where);
		my $e = expectation();
		expect_delete($state, $e, [ $t, \@ids ]);
		$e->{count} = @ids;
		return ('UPDATE ' . view($t) . " AS x SET deleted_at = now() WHERE $where", undef, $e) if chance(0.5);
		return ("UPDATE $t AS x SET deleted_at = '2001-01-01' WHERE x.deleted_at IS NULL AND $where", undef, $e) if $where !~ /SELECT/ || 1;
	},
	undelete_by_update => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $row = some_row($t, sub { !is_live($_[0]) }) or return;
		my $e = expectation();
		$e->{back}{ key($row) } = 1;
		for my $fk (grep { $_->{child} eq $t } @links) {
			my $p = parent_of($state, $fk, $row);
			next if !$p || is_live($p) || $p == $row;
			if ($fk->{mode} eq 'set null') {
				$e->{set}{ key($row) }{ $fk->{key} } = undef;
				$e->{forgets}{ key($row) }{ $fk->{key} } = $p;
			}
			else { $e->{must}{23503} = $fk->{key} }
		}
		my $after = copy_state($state);
		$after->{$t}{ $row->{id} }{deleted_at} = undef;
		my $v = violations($after);
		$e->{must}{23505} = $v->{23505} if $v->{23505};
		$e->{alone} = 1;
		$e->{count} = 1;
		return ("UPDATE $t SET deleted_at = NULL WHERE id = '$row->{id}'", undef, $e);
	},
	cursor => sub {
		# one finds no partition that was pruned from its query
		my $t = pick(grep { $soft{$_} && !$partitioned{$_} } @tables);
		my $row = some_row($t, \&is_live) or return;
		my $e = expectation();
		expect_delete($state, $e, [ $t, [ $row->{id} ] ]);
		if (chance(0.2)) {
			$e->{must} = { '0A000' => 1 };
			return ("DO \$do\$ DECLARE c refcursor; r record; BEGIN OPEN c FOR SELECT * FROM " . view($t) . " WHERE id = '$row->{id}'; FETCH c INTO r; DELETE FROM " . view($t) . " WHERE CURRENT OF c; END \$do\$", undef, $e);
		}
		return ("DO \$do\$ DECLARE c CURSOR FOR SELECT * FROM $t WHERE id = '$row->{id}' FOR UPDATE; BEGIN FOR r IN c LOOP UPDATE $t SET deleted_at = now() WHERE CURRENT OF c; END LOOP; END \$do\$", undef, $e);
	},
	insert => sub {
		my $t = pick(@tables);
		my @rows;
		for (1 .. 1 + int rand 3) {
			my $id = new_id($t) // next;
			next if grep { $_->{id} eq $id } @rows;
			push @rows, { id => $id, table => $t, %{ some_values($t, $id) } };
		}
		return unless @rows;
		my $e = expectation();
		my $after = copy_state($state);
		for (@rows) { $after->{$t}{ $_->{id} } = $_ }
		for (@rows) { expect_row($after, $e, $_); $e->{new}{ key($_) } = $_ }
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		my @c = ('id', @{ $columns{$t} });
		my $into = chance(0.8) ? view($t) : $t;
		$e->{count} = @rows;
		if ($managed{$t} && chance(0.25)) {
			return ("COPY $into (" . join(', ', @c) . ') FROM STDIN', join('', map { my $r = $_; join("\t", map { $r->{$_} // '\N' } @c) . "\n" } @rows), $e);
		}
		my $values = join(', ', map { my $r = $_; '(' . join(', ', map { lit($r->{$_}) . (/^(id|p)/ ? '::uuid' : '::int') } @c) . ')' } @rows);
		return ("INSERT INTO $into (" . join(', ', @c) . ") SELECT * FROM (VALUES $values) x", undef, $e) if chance(0.2);
		return ("INSERT INTO $into (" . join(', ', @c) . ") VALUES $values", undef, $e);
	},
	update => sub {
		my $t = pick(grep { $managed{$_} } @tables);
		my $where = some_condition($t);
		my @ids = matching(view($t) . ' AS x', '', $where);
		my $values = some_values($t, @ids == 1 ? $ids[0] : undef);
		my @set = grep { chance(0.4) } @{ $columns{$t} };
		@set = ('v') unless @set;
		my $e = expectation();
		my $after = copy_state($state);
		for my $id (@ids) {
			my $row = $after->{$t}{$id};
			$row->{$_} = $e->{set}{ key($row) }{$_} = $values->{$_} for @set;
		}
		for my $id (@ids) { expect_row($after, $e, $after->{$t}{$id}, $state->{$t}{$id}) }
		expect_update($state, $after, $e, map { $after->{$t}{$_} } @ids);
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		$e->{may}{23505} = 1 if @ids > 1 && grep { $_ eq 'u' } @set;
		$e->{count} = @ids;
		return ('UPDATE ' . view($t) . ' AS x SET ' . join(', ', map { "$_ = " . lit($values->{$_}) } @set) . " WHERE $where", undef, $e);
	},
	update_deleted => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $row = some_row($t, sub { !is_live($_[0]) }) or return;
		my $values = some_values($t, $row->{id});
		my @set = grep { chance(0.4) } @{ $columns{$t} };
		@set = ('v') unless @set;
		my $e = expectation();
		my $after = copy_state($state);
		$after->{$t}{ $row->{id} }{$_} = $e->{set}{ key($row) }{$_} = $values->{$_} for @set;
		expect_row($after, $e, $after->{$t}{ $row->{id} }, $row);
		expect_update($state, $after, $e, $after->{$t}{ $row->{id} });
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		$e->{count} = 1;
		return ("UPDATE $t SET " . join(', ', map { "$_ = " . lit($values->{$_}) } @set) . " WHERE id = '$row->{id}'", undef, $e);
	},
	upsert => sub {
		my $t = pick(grep { $managed{$_} } @tables);
		my $by_u = $unique{$t} && chance(0.5);
		my $old = some_row($t, $by_u ? sub { is_live($_[0]) && defined $_[0]{u} } : \&is_live);
		my $id = $old && !$by_u ? $old->{id} : new_id($t);
		return unless defined $id;
		my $values = some_values($t, $id, ($by_u ? (u => $old ? $old->{u} : 77) : ()));
		my $e = expectation();
		my $after = copy_state($state);
		my $row = { id => $id, table => $t, %$values };
		expect_row($after, $e, $row);          # the guard sees what would be inserted
		my $insert = { %{ $e->{must} } };
		if ($old) {
			my ($set) = grep { /^p/ } @{ $columns{$t} };
			$set = 'v' if !$set || chance(0.5);
			$after->{$t}{ $old->{id} }{$set} = $e->{set}{ key($old) }{$set} = $values->{$set};
			$e->{must} = {};
			expect_row($after, $e, $after->{$t}{ $old->{id} }, $old);
			my $v = violations($after);
			$e->{must}{$_} = $v->{$_} for keys %$v;
			$e->{must} = { %$insert, %{ $e->{must} } };
			$e->{count} = 1;
			return ("INSERT INTO " . view($t) . ' AS x (id, ' . join(', ', @{ $columns{$t} }) . ') VALUES (' . join(', ', lit($id), map { lit($values->{$_}) } @{ $columns{$t} }) . ') ON CONFLICT '
				. ($by_u ? '(u) WHERE deleted_at IS NULL' : '(id)') . " DO UPDATE SET $set = excluded.$set", undef, $e);
		}
		$after->{$t}{$id} = $row;
		$e->{new}{ key($row) } = $row;
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		return ("INSERT INTO " . view($t) . ' AS x (id, ' . join(', ', @{ $columns{$t} }) . ') VALUES (' . join(', ', lit($id), map { lit($values->{$_}) } @{ $columns{$t} }) . ') ON CONFLICT (id) DO UPDATE SET v = 1', undef, $e);
	},
	merge => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $mod = int rand 4;
		my @ids = sort map { $_->{id} } grep { is_live($_) && defined $_->{v} && $_->{v} % 4 == $mod } values %{ $state->{$t} };
		my $e = expectation();
		expect_delete($state, $e, [ $t, \@ids ]);
		for (values %{ $state->{$t} }) {
			next unless is_live($_) && defined $_->{v} && $_->{v} % 4 == ($mod + 1) % 4;
			$e->{set}{ key($_) }{v} = $_->{v} + 4;
		}
		return ("MERGE INTO $t x USING (SELECT * FROM " . view($t) . ") y ON x.id = y.id WHEN MATCHED AND y.v % 4 = $mod THEN UPDATE SET deleted_at = now() WHEN MATCHED AND y.v % 4 = " . (($mod + 1) % 4) . " THEN UPDATE SET v = x.v + 4", undef, $e);
	},
	erase => sub {
		my $t = pick(@tables);
		my $row = some_row($t) or return;
		my $e = expectation();
		expect_gone($state, $e, $row);
		$e->{count} = 1;
		return ("DELETE FROM $t WHERE id = '$row->{id}'", undef, $e);
	},
	restore => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $trash = expected_trash($state);
		my $row = chance(0.8) ? some_row($t, sub { $trash->{ key($_[0]) } }) : undef;
		$row //= some_row($t, sub { !is_live($_[0]) || chance(0.02) }) or return;
		my $e = expectation();
		my $name = chance(0.5) ? view($t) : $t;
		if (is_live($row)) { $e->{must}{55000} = 1; return ("SELECT sum(rows) FROM appdb.restore('$name', '$row->{id}')", undef, $e) }
		expect_restore($state, $e, $row);
		$e->{rows} = [ scalar keys %{ $e->{back} } ];
		return ("SELECT sum(rows) FROM appdb.restore('$name', '$row->{id}')", undef, $e);
	},
	restore_many => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my @rows = grep { !is_live($_) } map { $state->{$t}{$_} } sort keys %{ $state->{$t} };
		return unless @rows;
		my %rows = map { key($_) => $_ } map { pick(@rows) } 1 .. 3;
		my $e = expectation();
		expect_restore($state, $e, map { $rows{$_} } sort keys %rows);
		$e->{rows} = [ scalar keys %{ $e->{back} } ];
		return ("SELECT sum(rows) FROM appdb.restore('$t', '{" . join(',', map { $rows{$_}{id} } sort keys %rows) . "}')", undef, $e);
	},
	truncate => sub {
		my $t = pick(grep { $managed{$_} } @tables);
		my $e = expectation();
		$e->{must}{$_} = 1 for '2BP01', '0A000', '55006';
		return ("TRUNCATE $t" . (chance(0.7) ? ' CASCADE' : ''), undef, $e);
	},
	# of two operations in one statement, the first is undone
	caught => sub {
		my ($a, $b) = map { pick(grep { $soft{$_} } @tables) } 1, 2;
		my @tb = (view($b) . ' AS x', '', some_condition($b));
		my $e = expectation();
		expect_delete($state, $e, [ $b, [ matching(@tb) ] ]);
		my $first = pick('DELETE FROM ' . view($a) . ' AS x WHERE ' . some_condition($a), do { my $r = some_row($a, sub { !is_live($_[0]) }); $r ? "PERFORM appdb.restore('$a', '$r->{id}')" : () });
		return ("DO \$do\$ BEGIN BEGIN $first; PERFORM 1 / 0; EXCEPTION WHEN OTHERS THEN NULL; END; DELETE FROM $tb[0] WHERE $tb[2]; END \$do\$", undef, $e);
	},
	# deleted and given other parents at once
	delete_and_move => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $row = some_row($t, \&is_live) or return;
		my $e = expectation();
		expect_delete($state, $e, [ $t, [ $row->{id} ] ]);
		my $values = some_values($t, $row->{id});
		my @set = grep { chance(0.6) } @{ $columns{$t} };
		return unless @set;
		my $after = copy_state($state);
		$after->{$t}{ $row->{id} }{$_} = $e->{set}{ key($row) }{$_} = $values->{$_} for @set;
		delete $e->{lax}{ key($row) };
		# what is its own child may be followed or not
		$e->{may}{23001} = 1;
		return if grep { $_->{parent} eq $t && $_->{child} eq $t } @fks;
		return if grep { my $c = $_; grep { $_->{parent} eq $t && grep { $_->[1] eq $c } @{ $_->{pairs} } } @fks } @set;
		$after->{$t}{ $row->{id} }{deleted_at} = 'now';
		for my $fk (grep { $_->{child} eq $t } @fks) { $e->{must}{23502} = $fk->{key} if $fk->{not_null} && !defined $after->{$t}{ $row->{id} }{ $fk->{key} } }
		$e->{must}{23502} = 'g' if !defined $after->{$t}{ $row->{id} }{g} && !$g_null{$t};
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		return ("UPDATE " . pick($t, view($t)) . " SET deleted_at = now(), " . join(', ', map { "$_ = " . lit($values->{$_}) } @set) . " WHERE id = '$row->{id}'", undef, $e);
	},
	# brought back by an upsert, with other parents
	revive => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $row = some_row($t) or return;
		my $values = some_values($t, $row->{id});
		my $e = expectation();
		my $after = copy_state($state);
		my $now = $after->{$t}{ $row->{id} };
		my $insert = { id => $row->{id}, table => $t, %$values };
		expect_row($after, $e, $insert);
		$now->{$_} = $e->{set}{ key($row) }{$_} = $values->{$_} for @{ $columns{$t} };
		$now->{deleted_at} = undef;
		if (!is_live($row)) { $e->{back}{ key($row) } = 1; $e->{alone} = 1 }
		expect_row($after, $e, $now);
		expect_update($state, $after, $e, $now);
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		return ("INSERT INTO $t AS x (id, " . join(', ', @{ $columns{$t} }) . ') VALUES (' . join(', ', lit($row->{id}), map { lit($values->{$_}) } @{ $columns{$t} }) . ') ON CONFLICT (id) DO UPDATE SET deleted_at = NULL, '
			. join(', ', map { "$_ = excluded.$_" } @{ $columns{$t} }), undef, $e);
	},
	# deleted by an upsert
	delete_by_upsert => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $row = some_row($t, \&is_live) or return;
		my $e = expectation();
		expect_delete($state, $e, [ $t, [ $row->{id} ] ]);
		return ('INSERT INTO ' . pick($t, view($t)) . ' AS x (id, ' . join(', ', @{ $columns{$t} }) . ') VALUES (' . join(', ', lit($row->{id}), map { lit($row->{$_}) } @{ $columns{$t} }) . ') ON CONFLICT (id) DO UPDATE SET deleted_at = now()', undef, $e);
	},
	# a row that was deleted elsewhere
	import => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $id = new_id($t) // return;
		my $row = { id => $id, table => $t, %{ some_values($t, $id) }, deleted_at => sprintf('2001-01-01 00:00:%02d+00', rand 60) };
		my ($parent) = grep { $_ && !is_live($_) } map { parent_of($state, $_, $row) } grep { $_->{child} eq $t } @links;
		$row->{deleted_at} = $parent->{deleted_at} if $parent && chance(0.5);
		my $e = expectation();
		my $after = copy_state($state);
		$after->{$t}{$id} = $row;
		expect_row($after, $e, $row);
		$e->{new}{ key($row) } = $row;
		my $v = violations($after);
		$e->{must}{$_} = $v->{$_} for keys %$v;
		return ("INSERT INTO $t (id, deleted_at, " . join(', ', @{ $columns{$t} }) . ') VALUES (' . join(', ', lit($id), "'$row->{deleted_at}'", map { lit($row->{$_}) } @{ $columns{$t} }) . ')', undef, $e);
	},
	broken => sub {
		my $t = pick(grep { $soft{$_} } @tables);
		my $e = expectation();
		$e->{must}{22012} = 1;
		some_row($t, \&is_live) or return;
		return ("WITH d AS (DELETE FROM " . view($t) . " RETURNING v) SELECT 1 / (count(*) * 0) FROM d", undef, $e);
	},
);
my %weights = (delete => 14, delete_many => 4, delete_below => 3, delete_prepared => 4, delete_by_update => 4, undelete_by_update => 2, cursor => 2, insert => 14, update => 8,
	update_deleted => 2, upsert => 5, merge => 2, erase => 2, restore => 14, restore_many => 4, truncate => 1, broken => 1,
	caught => 2, delete_and_move => 2, revive => 3, delete_by_upsert => 2, import => 2);
my @mix;

# == a run with the model ===================================================

# what the statement makes of the notes
sub follow_notes {
	my ($old, $new, $e) = @_;
	if ($e->{alone}) { $notes = [ grep { !$e->{back}{ $_->{parent} } } @$notes ] }
	elsif (%{ $e->{back} }) { $notes = [ grep { !$e->{back}{ $_->{parent} } } @$notes ] }
	for my $k (sort keys %{ $e->{forgets} // {} }) {
		my ($t, $id) = split m{/}, $k;
		my $row = $new->{$t}{$id} or next;
		for my $c (sort keys %{ $e->{forgets}{$k} }) {
			push @$notes, { child => $k, column => $c, parent => key($e->{forgets}{$k}{$c}) } unless defined $row->{$c};
		}
	}
	$notes = [ grep { my ($t, $id) = split m{/}, $_->{parent}; my $p = $new->{$t}{$id}; $p && !is_live($p) } @$notes ];
	# of the parents of one operation, a row remembers the last
	my %last;
	$notes = [ reverse grep { my ($t, $id) = split m{/}, $_->{parent}; !$last{"$_->{child} $_->{column} $new->{$t}{$id}{deleted_at}"}++ } reverse @$notes ];
}

my @log;                        # what happened, comparable between both ways

# == clients at once ========================================================

my %possible = map { $_ => 1 } qw(00000 23001 23502 23503 23505 22012 25P02 26000 2BP01 0A000 55000 55006 P0002 40001 40P01);

# what one of them does; what it finds wrong goes to a file
sub client {
	my ($seed, $n, $file, $erases) = @_;
	srand($seed * 100 + $n);
	# rows that others have made are not in its state
	local $SIG{__WARN__} = sub { };
	$may_fail = 1;
	open(my $out, '>', $file) or die;
	eval {
		connect_to($database, '-c session_preload_libraries=appdb -c appdb.rewrite_deletes=' . ($n % 2 ? 'on' : 'off'));
		query("SET timezone = 'UTC'");
		$next_id{$_} += 1000 * $n for @tables;
		@prepared = ();
		for (1 .. $steps / 3) {
			$state = read_state();
			if ($erases && chance(0.03)) {
				my ($s, undef, undef, $m) = run("CALL appdb.purge('0', " . pick(1, 5, 1000) . ')');
				print $out "BAD purge: $s $m\n" unless $s =~ /^(00000|40001|40P01)$/;
				next;
			}
			my $many = chance(0.7);
			run('BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')) if $many;
			$in_transaction = $many;
			my $ok = 1;
			my @inserted;
			for (1 .. ($many ? 1 + int rand 4 : 1)) {
				my $kind = pick(@mix);
				next if !$erases && $kind eq 'erase';
				my ($sql, $data, $e) = $make{$kind}->();
				next unless $sql;
				my $saved = $many && chance(0.5);
				run('SAVEPOINT s') if $saved;
				my ($s, undef, undef, $m) = run($sql, $data);
				$outcomes{"$kind $s"}++;
				print $out "SAW $kind $s\n";
				print $out "BAD $s $m: $sql\n" unless $possible{$s};
				if ($s eq '00000') { push @inserted, keys %{ $e->{new} }; next }
				if ($saved && $s !~ /^40/) { run('ROLLBACK TO s'); next }
				$ok = 0;
				last;
			}
			if ($many) {
				my ($s, undef, undef, $m) = run($ok && chance(0.85) ? 'COMMIT' : $ok-- ? 'ROLLBACK' : 'ROLLBACK');
				print $out "BAD at the end: $s $m\n" unless $possible{$s};
				$ok = 0 if $s ne '00000' || $script[-1] !~ /COMMIT/;
				$in_transaction = 0;
			}
			print $out map { "NEW $_\n" } @inserted if $ok;
		}
		disconnect();
		1;
	} or print $out "BAD $@\n";
	close $out;
}

# all of them; returns what is wrong
sub run_clients {
	my ($seed) = @_;
	my $erases = $seed % 2;
	my (@wrong, %new, @children);
	for my $n (1 .. $clients) {
		my $child = fork // die;
		if (!$child) {
			client($seed, $n, "$work/fuzz_client.$$", $erases);
			exec 'true';
		}
		push @children, $child;
	}
	for my $child (@children) {
		waitpid $child, 0;
		open(my $in, '<', "$work/fuzz_client.$child") or die;
		chomp(my @lines = <$in>);
		close $in;
		unlink "$work/fuzz_client.$child";
		for my $line (@lines) {
			if ($line =~ /^BAD (.*)/) { push @wrong, $1 }
			elsif ($line =~ /^NEW (.*)/) { $new{$1} = 1 }
			elsif ($line =~ /^SAW (.*)/) { $outcomes{$1}++ }
		}
	}
	$state = read_state();
	push @wrong, live_under_deleted($state);
	my $v = violations($state, 1);
	push @wrong, "violated: $_ $v->{$_}" for keys %$v;
	if (!$erases) {
		# rows that may go for good: secrets, and those that go with them
		for (sort keys %new) {
			my ($t, $id) = split m{/};
			next if !$soft{$t} || grep { $_->{child} eq $t && (!$soft{ $_->{parent} } || ($_->{mode} // '') eq 'purge' || $_->{action} eq 'CASCADE') } @fks;
			push @wrong, "$_ is lost" unless $state->{$t}{$id};
		}
	}
	$notes = [];
	for (query("SELECT child, child_column, child_id, parent_id, deleted_at FROM app_data.unlinked")) {
		my ($t, $c, $id, $p, $stamp) = split /\|/;
		my ($fk) = grep { $_->{child} eq $t && $_->{key} eq $c } @links;
		my $parent = $state->{ $fk->{parent} }{$p} or next;
		push @$notes, { child => "$t/$id", column => $c, parent => "$fk->{parent}/$p" } if same($parent->{deleted_at}, $stamp);
	}
	%purged_stamps = map { $_ => 1 } query("SELECT deleted_at FROM app_data.deletions WHERE purged_at IS NOT NULL");
	push @wrong, trash_differences($state);
	return @wrong;
}

sub one_run {
	my ($seed, $way) = @_;
	srand($seed);
	# each seed likes some statements more than others
	@mix = map { ($_) x ($weights{$_} * pick(0, 1, 1, 1, 2, 4)) } sort keys %weights;
	@mix = ('delete', 'restore', 'insert') unless @mix;
	query_postgres("DROP DATABASE IF EXISTS $database", "CREATE DATABASE $database TEMPLATE $template");
	connect_to($database, '-c session_preload_libraries=appdb -c appdb.rewrite_deletes=' . ($way eq 'rows' ? 'off' : 'on'));
	query("SET timezone = 'UTC'");
	make_tables();
	@log = @prepared = ();
	%purged_stamps = ();
	$notes = [];
	$state = read_state();
	my @wrong;
	$in_transaction = 0;
	my @savepoints;
	my @doctor = sort(query("SELECT object, problem FROM appdb.doctor()"));
	my $begin;
	my $step = 0;
	my $total = ($way eq 'clients' ? 0 : $steps) + 30;
	my $drain = $total + 35;           # in the end rows go one by one, and all that can comes back
	while ($step++ < $drain && !@wrong) {
		if ($way eq 'clients' && $step == 31) {
			@wrong = run_clients($seed);
			last if @wrong;
		}
		# transactions
		my $settled = !$in_transaction;
		if (!$in_transaction && chance(0.15) && $step > 30) {
			query('BEGIN' . pick('', ' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL SERIALIZABLE'));
			push @script, 'BEGIN;';
			$in_transaction = 1;
			$begin = [ copy_state($state), [ @$notes ], { %purged_stamps } ];
			@savepoints = ();
			push @log, 'BEGIN';
		}
		elsif ($in_transaction && chance(0.2)) {
			my $bad = violations($state, 1);
			my $end = chance(0.7) ? 'COMMIT' : 'ROLLBACK';
			my ($s, undef, undef, $m) = run($end);
			if ($end eq 'COMMIT' && ($s ne '00000') != (%$bad ? 1 : 0)) { @wrong = ("COMMIT: $s $m, expected " . join(' ', %$bad)); last }
			($state, $notes) = ($begin->[0], $begin->[1]) if $end eq 'ROLLBACK' || $s ne '00000';
			$in_transaction = 0;
			push @log, "$end $s";
			my $now = read_state();
			@wrong = map { "after $end: $_" } differences($state, $now, expectation());
			$state = $now;
			next;
		}
		elsif ($in_transaction && chance(0.15)) {
			query('SAVEPOINT s');
			push @script, 'SAVEPOINT s;';
			push @savepoints, [ copy_state($state), [ @$notes ] ];
			push @log, 'SAVEPOINT';
			next;
		}
		elsif ($in_transaction && @savepoints && chance(0.1)) {
			query('ROLLBACK TO s');
			push @script, 'ROLLBACK TO s;';
			($state, $notes) = (copy_state($savepoints[-1][0]), [ @{ $savepoints[-1][1] } ]);
			push @log, 'ROLLBACK TO';
			my $now = read_state();
			@wrong = map { "after ROLLBACK TO: $_" } differences($state, $now, expectation());
			next;
		}
		elsif (!$in_transaction && $step > 30 && chance(0.015)) {
			my $e = expectation();
			expect_purge($state, $e);
			my %stamps = map { $_->{deleted_at} => 1 } grep { defined $_->{deleted_at} } rows($state);
			my ($s, undef, undef, $m) = run("CALL appdb.purge('0', " . pick(1, 5, 1000) . ')');
			$kinds{purge}++;
			push @log, "purge $s";
			if ($s ne '00000') { @wrong = ("purge: $s $m"); last }
			my $now = read_state();
			@wrong = differences($state, $now, $e, 1);
			# of what was imported nothing is noted
			$purged_stamps{$_} = 1 for grep { !/^2001/ } keys %stamps;
			follow_notes($state, $now, $e);
			$state = $now;
			push @wrong, trash_differences($state);
			next;
		}

		$one_by_one = $step > $total;
		my $kind = $step <= 30 ? 'insert' : $step <= $total ? pick(@mix) : $step <= $total + 10 ? 'delete' : pick('restore', 'restore', 'restore', 'restore_many', 'delete');
		my ($sql, $data, $e) = $make{$kind}->();
		next unless $sql;
		my $guarded = $in_transaction && chance(0.6);
		query('SAVEPOINT g') if $guarded;
		push @script, 'SAVEPOINT g;' if $guarded;
		my ($s, $count, $tag, $message, @lines) = run($sql, $data);
		$kinds{$kind}++;
		$outcomes{"$kind $s"}++;
		push @log, "$sql -> $s $tag " . join(';', sort @lines);
		$log[-1] =~ s/'\d{4}-\d\d-\d\d [^']*'/'...'/g;
		if ($s ne '00000') {
			if (!$e->{must}{$s} && !$e->{may}{$s}) { @wrong = ("$s $message, not expected"); last }
			if ($guarded) { query('ROLLBACK TO g'); push @script, 'ROLLBACK TO g;' }
			elsif ($in_transaction) {
				if (@savepoints && chance(0.5)) {
					query('ROLLBACK TO s');
					push @script, 'ROLLBACK TO s;';
					($state, $notes) = (copy_state($savepoints[-1][0]), [ @{ $savepoints[-1][1] } ]);
				}
				else {
					query('ROLLBACK');
					push @script, 'ROLLBACK;';
					$in_transaction = 0;
					($state, $notes) = ($begin->[0], $begin->[1]);
				}
			}
			my $now = read_state();
			@wrong = map { "after an error: $_" } differences($state, $now, expectation());
			next;
		}
		if (%{ $e->{must} }) { @wrong = ('no error, but expected ' . join(' ', %{ $e->{must} })); last }
		my $now = read_state();
		@wrong = differences($state, $now, $e, $settled && !$in_transaction) unless $e->{loose};
		push @wrong, live_under_deleted($now);
		if (exists $e->{count} && $count != $e->{count} && !exists $e->{rows}) { push @wrong, "row count $count, not $e->{count}" }
		if ($e->{rows}) {
			my ($got, $want) = (join(' ; ', sort @lines), join(' ; ', sort @{ $e->{rows} }));
			push @wrong, "returned $got", "expected $want" if $got ne $want;
		}
		follow_notes($state, $now, $e);
		$state = $now;
		push @wrong, trash_differences($state) if !@wrong && chance(0.4);
		push @log, join ' ', map { key($_) . (is_live($_) ? '' : '-') } rows($state);
	}
	if (!@wrong) {
		run('ROLLBACK');
		# rows that were deleted long ago are imported
		@wrong = grep { my $d = $_; !/^retention/ && !grep { $_ eq $d } @doctor } query("SELECT object, problem FROM appdb.doctor()");
		@wrong = map { "doctor: $_" } @wrong;
	}
	my @said = @script;
	disconnect();
	if (@wrong) {
		open(my $f, '>', "$work/fuzz-$seed-$way.sql") or die;
		print $f map { /;$|\\\.$/ ? "$_\n" : "$_;\n" } @said;
		close $f;
	}
	return @wrong ? ("step $step: " . substr($said[-1], 0, 600), @wrong) : ();
}

sub query_postgres {
	connect_to('postgres', '');
	query($_) for @_;
	disconnect();
}

query_postgres("DROP DATABASE IF EXISTS $template", "CREATE DATABASE $template");
connect_to($template, '');
query('CREATE EXTENSION appdb');
disconnect();

$| = 1;
my %bad;
sub seed_differs { my ($kind, $seed, @notes) = @_; $bad{$kind}++; print map { "# $_\n" } "seed $seed ($kind):", map { "  $_" } map { split /\n/ } @notes }
for my $seed ($first_seed .. $first_seed + $runs - 1) {
	my %logs;
	for my $way ($alone ? ('rows', 'once') : (), $clients ? 'clients' : ()) {
		my @wrong = one_run($seed, $way);
		$logs{$way} = [ @log ];
		seed_differs($way, $seed, @wrong[ 0 .. min($#wrong, 9) ]) if @wrong;
	}
	next unless $alone;
	my $i = 0;
	$i++ while $i < @{ $logs{rows} } && $i < @{ $logs{once} } && $logs{rows}[$i] eq $logs{once}[$i];
	seed_differs('both', $seed, 'rows: ' . substr($logs{rows}[$i] // 'end', 0, 1500), 'once: ' . substr($logs{once}[$i] // 'end', 0, 1500)) if $i < max(scalar @{ $logs{rows} }, scalar @{ $logs{once} });
}
if ($alone) {
	result(!$bad{rows}, "$runs seeds are as the model says, row by row");
	result(!$bad{once}, 'and at once');
	result(!$bad{both}, 'both do the same');
}
result(!$bad{clients}, "$runs seeds of $clients clients at once leave nothing wrong") if $clients;
result(($outcomes{'restore 00000'} // 0) > $runs && ($outcomes{'delete 00000'} // 0) > $runs, 'rows went and came back');
print '# ', join(', ', map { "$_: $outcomes{$_}" } sort keys %outcomes), "\n";
print '# ', join(', ', map { "$_: $kinds{$_}" } sort keys %kinds), "\n";
query_postgres("DROP DATABASE IF EXISTS $database", "DROP DATABASE $template");
print "1..$test\n";
exit($failed ? 1 : 0);
