#!/usr/bin/perl
#
# random.t: appdb.find() against an interpreter of its language.
#
# Random queries, made from the metadata, are asked of appdb.find() and of the
# interpreter below, which walks over the rows in memory and knows no SQL; both
# must give the same.  Then the same queries with something broken in them:
# whatever comes, it must be an answer or a clean error, that is one that names
# its place in the query.
#
#   FIND_SEED      another seed, to see other queries (default 1)
#   FIND_QUERIES   how many (default 600)
#
# Needs a running server that has the extension (make check provides it).

use strict;
use warnings;
use JSON::PP;
use File::Temp qw(tempdir);

my $seed = $ENV{FIND_SEED} // 1;
my $queries = $ENV{FIND_QUERIES} // 600;
my $json = JSON::PP->new->canonical->allow_nonref;
my $ordered = JSON::PP->new->canonical(0)->allow_nonref;
my $dir = tempdir(CLEANUP => 1);
my $database = 'appdb_find_random';
my $failed = 0;
my $test = 0;

srand($seed);

sub result {
	my ($ok, $name, @notes) = @_;
	$test++;
	print(($ok ? 'ok' : 'not ok'), " $test - $name\n");
	print map { "# $_\n" } map { split /\n/ } @notes;
	$failed++ unless $ok;
}

# a script through psql: its lines
sub psql {
	my ($db, $script) = @_;
	open(my $file, '>', "$dir/script.sql") or die;
	print $file $script;
	close $file;
	my @lines = `psql -X -q -At -v ON_ERROR_STOP=1 -d $db -f $dir/script.sql 2>&1`;
	die "psql failed:\n" . join('', @lines) if $?;
	chomp @lines;
	return @lines;
}

# == the data ===============================================================

psql('postgres', "SET client_min_messages = error; DROP DATABASE IF EXISTS $database; CREATE DATABASE $database;");
psql($database, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION appdb;
SET session_replication_role = replica;
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.id(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
	AS $$ SELECT format('%s-0000-7000-8000-%s', lpad(kind::text, 8, '0'), lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.at(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
	AS $$ SELECT '2024-01-01T00:00:00Z'::timestamptz + n * interval '1 hour' $$;
CREATE FUNCTION pg_temp.dead(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
	AS $$ SELECT CASE WHEN n % 7 = 3 THEN pg_temp.at(n) END $$;
INSERT INTO app_data.users (id, name, email, email_verified, email_verified_at, metadata, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(1, n), (ARRAY['Ann', 'ben', 'Cleo', NULL, 'O''Neil %', 'Ann'])[n % 6 + 1], format('u%s@x.example', n), n % 3 = 0, CASE WHEN n % 3 = 0 THEN pg_temp.at(n) END,
		   jsonb_build_object('n', n % 3, 'k', CASE WHEN n % 2 = 0 THEN 'even' END), pg_temp.at(n % 4), pg_temp.at(n), pg_temp.dead(n)
	FROM generate_series(1, 14) n;
INSERT INTO app_data.organizations (id, name, slug, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(2, n), 'Org ' || n % 2, 'org-' || n, pg_temp.at(n), pg_temp.at(n), pg_temp.dead(n) FROM generate_series(1, 4) n;
INSERT INTO app_data.members (id, organization_id, user_id, role, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(3, o * 100 + u), pg_temp.id(2, o), pg_temp.id(1, u), (ARRAY['owner', 'admin', 'member'])[(o + u) % 3 + 1]::app_data.organization_role,
		   pg_temp.at(u), pg_temp.at(u), pg_temp.dead(o + u) FROM generate_series(1, 4) o, generate_series(1, 14) u WHERE (o * u) % 3 <> 0;
INSERT INTO app_data.spaces (id, organization_id, owner_id, name, visibility, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(4, n), CASE WHEN n % 2 = 0 THEN pg_temp.id(2, n % 4 + 1) END, CASE WHEN n % 2 = 1 THEN pg_temp.id(1, n) END, (ARRAY['Red', 'Blue', 'green'])[n % 3 + 1],
		   (ARRAY['private', 'public'])[n % 2 + 1]::app_data.space_visibility, pg_temp.at(n), pg_temp.at(n), pg_temp.dead(n) FROM generate_series(1, 8) n;
INSERT INTO app_data.space_members (id, space_id, user_id, role, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(5, s * 100 + u), pg_temp.id(4, s), pg_temp.id(1, u), (ARRAY['owner', 'admin', 'editor', 'viewer'])[(s + u) % 4 + 1]::app_data.space_role,
		   pg_temp.at(u), pg_temp.at(u), pg_temp.dead(s * 3 + u) FROM generate_series(1, 8) s, generate_series(1, 14) u WHERE (s + u) % 3 = 0;
INSERT INTO app_data.chats (id, space_id, user_id, title, model, archived_at, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(6, n), pg_temp.id(4, n % 8 + 1), CASE WHEN n % 4 <> 0 THEN pg_temp.id(1, n % 14 + 1) END, 'Chat ' || n % 5,
		   (ARRAY['small', 'large', NULL])[n % 3 + 1], CASE WHEN n % 5 = 0 THEN pg_temp.at(n) END, pg_temp.at(n), pg_temp.at(n), pg_temp.dead(n) FROM generate_series(1, 20) n;
INSERT INTO app_data.messages (id, space_id, chat_id, parent_id, user_id, role, content, input_tokens, output_tokens, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(7, n), pg_temp.id(4, (n % 20 + 1) % 8 + 1), pg_temp.id(6, n % 20 + 1), CASE WHEN n > 20 AND n % 3 = 0 THEN pg_temp.id(7, n - 20) END,
		   CASE WHEN n % 3 <> 0 THEN pg_temp.id(1, n % 14 + 1) END, (ARRAY['user', 'assistant', 'system'])[n % 3 + 1]::app_data.message_role, 'text ' || n % 9,
		   CASE WHEN n % 2 = 0 THEN n % 7 END, CASE WHEN n % 5 = 0 THEN n * 1000 END, pg_temp.at(n), pg_temp.at(n), pg_temp.dead(n) FROM generate_series(1, 120) n;
INSERT INTO app_data.files (id, space_id, user_id, name, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(8, n), pg_temp.id(4, n % 8 + 1), pg_temp.id(1, n), 'file' || n, pg_temp.at(n), pg_temp.at(n), pg_temp.dead(n) FROM generate_series(1, 12) n;
INSERT INTO app_data.folders (id, space_id, parent_id, name, position, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(9, s * 100 + k), pg_temp.id(4, s), CASE WHEN k > 0 THEN pg_temp.id(9, s * 100 + (k - 1) / 2) END, 'f' || k, k % 3, pg_temp.at(k), pg_temp.at(k), NULL
	FROM generate_series(1, 8) s, generate_series(0, 4) k;
INSERT INTO app_data.notes (id, space_id, folder_id, user_id, title, content, pinned_at, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(10, n), pg_temp.id(4, n % 8 + 1), CASE WHEN n % 5 <> 0 THEN pg_temp.id(9, (n % 8 + 1) * 100 + n % 5) END, CASE WHEN n % 4 <> 0 THEN pg_temp.id(1, n % 14 + 1) END,
		   'Note ' || n % 6, repeat('x', n::int % 3), CASE WHEN n % 4 = 1 THEN pg_temp.at(n) END, pg_temp.at(n), pg_temp.at(n), pg_temp.dead(n) FROM generate_series(1, 60) n;
RESET session_replication_role;
-- a table of the user's, with what the others do not have
CREATE TABLE app_data.labels (
	id uuid PRIMARY KEY, space_id uuid NOT NULL REFERENCES app_data.spaces (id), note_id uuid REFERENCES app_data.notes (id), name text,
	words text[], numbers int[], users uuid[], extra jsonb, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX ON app_data.labels (space_id);
CREATE INDEX ON app_data.labels (note_id);
CREATE INDEX ON app_data.labels USING gin (words);
SET client_min_messages = error;
SELECT appdb.manage('app_data.labels');
SET session_replication_role = replica;
INSERT INTO app_data.labels
	SELECT pg_temp.id(11, n), pg_temp.id(4, n % 8 + 1), CASE WHEN n % 3 <> 0 THEN pg_temp.id(10, n) END, 'label ' || n % 4,
		   CASE WHEN n % 9 <> 0 THEN ARRAY(SELECT CASE WHEN (n + k) % 8 = 0 THEN NULL ELSE 'w' || (n * k) % 5 END FROM generate_series(1, n % 4) k) END,
		   CASE WHEN n % 11 <> 0 THEN ARRAY(SELECT (n + k * k) % 6 FROM generate_series(1, n % 5) k) END,
		   ARRAY(SELECT pg_temp.id(1, (n + k) % 4) FROM generate_series(1, n % 3) k),
		   CASE n % 4 WHEN 0 THEN jsonb_build_object('n', n % 3, 'list', jsonb_build_array(n % 2, 'x')) WHEN 1 THEN '[]' WHEN 2 THEN '"text"' END, pg_temp.at(n % 5), pg_temp.at(n), pg_temp.dead(n)
	FROM generate_series(1, 30) n;
RESET session_replication_role;
ANALYZE;
SQL

# == the metadata ===========================================================

my @names = qw(users organizations members spaces space_members chats messages files folders notes labels);
my %is_entity = map { $_ => 1 } @names;
my (%columns, %relations, %rows, %enums, %camel_of);

sub camel { my $n = shift; $n =~ s/(?<=.)_([a-z0-9])/\u$1/g; return $n }

for my $line (psql($database, <<'SQL')) {
SET timezone = 'UTC';
SELECT jsonb_build_object('columns', e.name, 'list', (SELECT jsonb_agg(d) FROM appdb.describe(e.name::text) d WHERE d.kind = 'column')) FROM appdb.entities e;
SELECT jsonb_build_object('relation', row_to_json(r)::jsonb) FROM (SELECT "from", name, kind, "to", columns, to_columns, through, through_columns, through_to_columns FROM appdb.relations) r;
SELECT jsonb_build_object('enum', t.oid::regtype::text, 'labels', jsonb_agg(e.enumlabel ORDER BY e.enumsortorder)) FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.oid;
SQL
	my $d = $json->decode($line);
	if ($d->{columns}) {
		$columns{$d->{columns}} = { map { $_->{name} => $_ } @{ $d->{list} } };
	}
	elsif ($d->{relation}) {
		my $r = $d->{relation};
		$relations{$r->{from}}{$r->{name}} = $r if $is_entity{ $r->{from} } && $is_entity{ $r->{to} } && (!$r->{through} || $is_entity{ $r->{through} });
	}
	elsif ($d->{enum}) { my $n = 0; $enums{$d->{enum}} = { map { $_ => $n++ } @{ $d->{labels} } } }
}
for my $name (@names) {
	my ($line) = psql($database, "SET timezone = 'UTC'; SELECT COALESCE(jsonb_agg(t), '[]') FROM app_data.$name t;");
	$rows{$name} = $json->decode($line);
}

# == the interpreter ========================================================
# A query is a Perl structure; names are the real ones, unless $is_camel.

my $is_camel;
sub shown { return $is_camel ? camel($_[0]) : $_[0] }
sub real {
	my ($set, $name) = @_;
	return exists $set->{$name} ? $name : undef unless $is_camel;
	for (keys %$set) { return $_ if camel($_) eq $name }
	return undef;
}
sub is_true { my $v = shift; return ref($v) eq 'JSON::PP::Boolean' && $v }

sub type_of {
	my ($entity, $column) = @_;
	my $t = $columns{$entity}{$column}{type};
	return $enums{$t} ? 'enum' : $t =~ /\[\]$/ ? 'array' : $t =~ /^(integer|bigint|smallint)/ ? 'number' : $t =~ /^timestamp/ ? 'time'
		: $t eq 'boolean' ? 'bool' : $t eq 'jsonb' ? 'json' : $t eq 'uuid' ? 'uuid' : $t eq 'text' ? 'text' : 'other';
}

# as the column's type compares them
sub compare {
	my ($entity, $column, $a, $b) = @_;
	my $type = type_of($entity, $column);
	return $a <=> $b if $type eq 'number';
	return ($a ? 1 : 0) <=> ($b ? 1 : 0) if $type eq 'bool';
	if ($type eq 'enum') { my $e = $enums{ $columns{$entity}{$column}{type} }; return $e->{$a} <=> $e->{$b} }
	# only whether they are equal
	return join("\0", map { $_ // 'null' } @$a) eq join("\0", map { $_ // 'null' } @$b) ? 0 : 1 if $type eq 'array';
	return $a cmp $b;
}

sub like {
	my ($s, $p, $ignore_case) = @_;
	my $re = join '', map { $_ eq '%' ? '.*' : $_ eq '_' ? '.' : quotemeta } split //, $p;
	return ($ignore_case ? $s =~ /^$re$/si : $s =~ /^$re$/s) ? 1 : 0;
}

# three-valued logic: 1, 0, undef
sub and3 { my $u = 0; for (@_) { return 0 if defined $_ && !$_; $u = 1 if !defined $_ } return $u ? undef : 1 }
sub or3 { my $u = 0; for (@_) { return 1 if defined $_ && $_; $u = 1 if !defined $_ } return $u ? undef : 0 }
sub not3 { return defined $_[0] ? ($_[0] ? 0 : 1) : undef }

sub contained {
	my ($small, $large) = @_;
	return 0 if ref($small) ne ref($large);
	if (ref $small eq 'ARRAY') { for my $e (@$small) { return 0 unless grep { contained($e, $_) } @$large } return 1 }
	if (ref $small eq 'HASH') { for (keys %$small) { return 0 unless exists $large->{$_} && contained($small->{$_}, $large->{$_}) } return 1 }
	return $json->encode($small) eq $json->encode($large) ? 1 : 0;
}

# are all elements of the one in the other? null is equal to nothing
sub all_in { my ($small, $large) = @_; for my $e (@$small) { return 0 unless defined $e && grep { defined $_ && $_ eq $e } @$large } return 1 }

sub operator {
	my ($entity, $column, $value, $op, $arg) = @_;
	return defined $value ? 0 : 1 if $op eq 'eq' && !defined $arg || $op eq 'isNull' && $arg || $op eq 'isNotNull' && !$arg;
	return defined $value ? 1 : 0 if $op eq 'ne' && !defined $arg || $op eq 'isNull' || $op eq 'isNotNull';
	if ($op eq 'in') { return 0 unless @$arg; return undef unless defined $value; return or3(map { compare($entity, $column, $value, $_) == 0 } @$arg) ? 1 : 0 }
	if ($op eq 'notIn') { return 1 unless @$arg; return undef unless defined $value; return or3(map { compare($entity, $column, $value, $_) == 0 } @$arg) ? 0 : 1 }
	return undef unless defined $value;
	return all_in($arg, $value) if $op eq 'arrayContains';
	return all_in($value, $arg) if $op eq 'arrayContained';
	return (grep { all_in([$_], $value) } @$arg) ? 1 : 0 if $op eq 'arrayOverlaps';
	return contained($arg, $value) if $op eq 'contains';
	return contained($value, $arg) if $op eq 'containedBy';
	my $has = sub { my $k = shift; return ref $value eq 'HASH' ? exists $value->{$k} : ref $value eq 'ARRAY' ? scalar grep { $_ eq $k } @$value : $value eq $k };
	return $has->($arg) ? 1 : 0 if $op eq 'hasKey';
	return (grep { $has->($_) } @$arg) ? 1 : 0 if $op eq 'hasAnyKey';
	return (grep { !$has->($_) } @$arg) ? 0 : 1 if $op eq 'hasAllKeys';
	return like($value, $arg, $op =~ /i/ && $op =~ /ilike/i && $op ne 'like' && $op ne 'notLike' ? 1 : 0) if $op eq 'like' || $op eq 'ilike';
	return not3(like($value, $arg, $op eq 'notIlike' ? 1 : 0)) if $op eq 'notLike' || $op eq 'notIlike';
	my $c = compare($entity, $column, $value, $arg);
	return { eq => $c == 0, ne => $c != 0, gt => $c > 0, gte => $c >= 0, lt => $c < 0, lte => $c <= 0 }->{$op} ? 1 : 0;
}

sub column_holds {
	my ($entity, $column, $value, $filter) = @_;
	return operator($entity, $column, $value, 'eq', $filter) unless ref($filter) eq 'HASH';
	return and3(map {
		my $f = $filter->{$_};
		$_ eq 'AND' ? and3(map { column_holds($entity, $column, $value, $_) } @$f)
			: $_ eq 'OR' ? or3(map { column_holds($entity, $column, $value, $_) } @$f)
			: $_ eq 'NOT' ? not3(column_holds($entity, $column, $value, $f))
			: operator($entity, $column, $value, $_, $f)
	} keys %$filter);
}

sub live { return grep { !defined $_->{deleted_at} } @{ $rows{ $_[0] } } }

sub equal_columns {
	my ($a, $ac, $b, $bc) = @_;
	for my $i (0 .. $#$ac) {
		return 0 unless defined $a->{ $ac->[$i] } && defined $b->{ $bc->[$i] } && $a->{ $ac->[$i] } eq $b->{ $bc->[$i] };
	}
	return 1;
}

# pairs of (row, row of the join table); "deleted" says of which rows
sub related {
	my ($rel, $row, $deleted) = @_;
	my @candidates = grep { !$deleted ? !defined $_->{deleted_at} : $deleted eq 'only' ? defined $_->{deleted_at} : 1 } @{ $rows{ $rel->{to} } };
	return map { [$_] } grep { equal_columns($row, $rel->{columns}, $_, $rel->{to_columns}) } @candidates unless $rel->{through};
	my @pairs;
	for my $j (grep { equal_columns($row, $rel->{columns}, $_, $rel->{through_columns}) } live($rel->{through})) {
		push @pairs, map { [$_, $j] } grep { equal_columns($j, $rel->{through_to_columns}, $_, $rel->{to_columns}) } @candidates;
	}
	return @pairs;
}

sub holds {
	my ($entity, $row, $where) = @_;
	return and3(map {
		my $f = $where->{$_};
		my $column = real($columns{$entity}, $_);
		my $relation = defined $column ? undef : real($relations{$entity}, $_);
		defined $column ? column_holds($entity, $column, $row->{$column}, $f)
			: defined $relation ? do {
				my $rel = $relations{$entity}{$relation};
				my @r = related($rel, $row);
				@r = grep { holds($rel->{to}, $_->[0], $f) } @r if ref($f) eq 'HASH';
				ref($f) eq 'HASH' || $f ? (@r ? 1 : 0) : (@r ? 0 : 1);
			}
			: $_ eq 'AND' ? and3(map { holds($entity, $row, $_) } @$f)
			: $_ eq 'OR' ? or3(map { holds($entity, $row, $_) } @$f)
			: $_ eq 'NOT' ? not3(holds($entity, $row, $f)) : die "where $_";
	} keys %$where);
}

# the keys that rows are ordered by: [entity, column, how to get it, desc, nulls first]
sub orders {
	my ($entity, $list, @path) = @_;
	my @orders;
	for my $item (ref($list) eq 'ARRAY' ? @$list : $list) {
		my ($key, $dir) = ref($item) ? %$item : ($item, 'asc');
		my $column = real($columns{$entity}, $key);
		if (!defined $column) {
			my $rel = $relations{$entity}{ real($relations{$entity}, $key) };
			push @orders, orders($rel->{to}, $dir, @path, $rel);
			next;
		}
		my ($desc, $nulls);
		if (ref $dir) { $desc = ($dir->{direction} // 'asc') eq 'desc'; $nulls = $dir->{nulls} }
		else { $desc = $dir =~ /^desc/; $nulls = $1 if $dir =~ /nulls (\w+)/ }
		push @orders, [$entity, $column, [@path], $desc, defined $nulls ? $nulls eq 'first' : $desc];
	}
	return @orders;
}

sub order_value {
	my ($row, $order) = @_;
	for my $rel (@{ $order->[2] }) { my ($r) = related($rel, $row); return undef unless $r; $row = $r->[0] }
	return $row->{ $order->[1] };
}

sub sort_pairs {
	my ($entity, $list, @pairs) = @_;
	my @orders = orders($entity, $list);
	return sort {
		my $c = 0;
		for my $o (@orders) {
			my ($x, $y) = (order_value($a->[0], $o), order_value($b->[0], $o));
			if (!defined $x || !defined $y) { $c = (defined $x ? 1 : 0) <=> (defined $y ? 1 : 0); $c = -$c unless $o->[4] }
			else { $c = compare($o->[0], $o->[1], $x, $y); $c = -$c if $o->[3] }
			last if $c;
		}
		$c
	} @pairs;
}

sub pick_columns {
	my ($entity, $spec) = @_;
	my @all = keys %{ $columns{$entity} };
	return @all unless defined $spec;
	return map { real($columns{$entity}, $_) } @$spec if ref($spec) eq 'ARRAY';
	return @all unless %$spec;
	my @in = grep { $spec->{$_} } keys %$spec;
	return map { real($columns{$entity}, $_) } @in if @in;
	my %out = map { real($columns{$entity}, $_) => 1 } keys %$spec;
	return grep { !$out{$_} } @all;
}

sub path_of { my $f = shift; my @p; while ($f) { unshift @p, $f->{name}; my $id = $f->{parent_id}; ($f) = defined $id ? grep { $_->{id} eq $id } live('folders') : () } return join '/', @p }

# the answer for some rows
sub answer {
	my ($entity, $q, $one, @pairs) = @_;
	my $w = $q->{where};
	@pairs = grep { holds($entity, $_->[0], $w) } @pairs if $w;
	if (ref $q->{through} eq 'HASH' && $q->{through}{where}) { my $t = $q->{_join}; @pairs = grep { holds($t, $_->[1], $q->{through}{where}) } @pairs }
	my $count = @pairs;
	@pairs = sort_pairs($entity, $q->{orderBy}, @pairs) if defined $q->{orderBy};
	if (ref $q->{distinct} eq 'ARRAY') {
		my %seen;
		@pairs = grep { my $r = $_->[0]; !$seen{ join "\0", map { my $c = real($columns{$entity}, $_); defined $r->{$c} ? "v" . $json->encode($r->{$c}) : 'n' } @{ $q->{distinct} } }++ } @pairs;
	}
	my @chosen = pick_columns($entity, $q->{columns});
	if (is_true($q->{distinct})) {
		my %seen;
		@pairs = grep { my $r = $_->[0]; !$seen{ join "\0", map { $json->encode($r->{$_}) } @chosen }++ } @pairs;
	}
	splice @pairs, 0, $q->{offset} if $q->{offset};
	$#pairs = $q->{limit} - 1 if defined $q->{limit} && @pairs > $q->{limit};
	$#pairs = 0 if $one && @pairs > 1;
	my @out;
	for my $p (@pairs) {
		my ($row, $join) = @$p;
		my %r = map { shown($_) => $row->{$_} } @chosen;
		$r{path} = path_of($row) if $q->{extras};
		if ($q->{through}) { my $t = $q->{_join}; $r{_through} = { map { shown($_) => $join->{$_} } pick_columns($t, ref($q->{through}) eq 'HASH' ? $q->{through}{columns} : undef) } }
		if (ref $q->{count} eq 'HASH' && grep { $_ ne '*' } keys %{ $q->{count} }) {
			for my $n (grep { $_ ne '*' } keys %{ $q->{count} }) {
				my $rel = $relations{$entity}{ real($relations{$entity}, $n) };
				my $c = $q->{count}{$n};
				$r{_count}{$n} = scalar grep { ref($c) eq 'HASH' && $c->{where} ? holds($rel->{to}, $_->[0], $c->{where}) : 1 } related($rel, $row);
			}
		}
		for my $n (keys %{ $q->{with} // {} }) {
			my $sub = $q->{with}{$n};
			next if ref($sub) eq 'JSON::PP::Boolean' && !$sub;
			my $rel = $relations{$entity}{ real($relations{$entity}, $n) };
			$sub = {} unless ref($sub) eq 'HASH';
			$r{$n} = answer($rel->{to}, { %$sub, _join => $rel->{through} }, $rel->{kind} eq 'one', related($rel, $row, $sub->{deleted}));
		}
		push @out, \%r;
	}
	return $out[0] if $one;
	return { rows => \@out, count => $count } if is_true($q->{count}) || ref($q->{count}) eq 'HASH' && $q->{count}{'*'};
	return \@out;
}

sub interpret {
	my ($entity, $one, $q) = @_;
	my $d = $q->{deleted};
	return answer($entity, $q, $one, map { [$_] } grep { !$d ? !defined $_->{deleted_at} : $d eq 'only' ? defined $_->{deleted_at} : 1 } @{ $rows{$entity} });
}

# == the generator ==========================================================

sub chance { return rand() < $_[0] }
sub pick { return $_[ int rand @_ ] }
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# a value as some row has it, or nearly
sub some_value {
	my ($entity, $column) = @_;
	for (1 .. 10) { my $r = pick(@{ $rows{$entity} }); return $r->{$column} if defined $r->{$column} }
	return undef;
}

sub some_filter {
	my ($entity, $column, $depth) = @_;
	my $type = type_of($entity, $column);
	if ($type eq 'json') {
		return { pick(
			[ contains => pick({ n => int rand 3 }, {}, { k => 'even' }, { n => 1, k => undef }) ], [ containedBy => pick({}, { n => 1, k => 'even', z => 1 }) ],
			[ hasKey => pick('n', 'zz') ], [ hasAnyKey => [ 'zz', pick('k', 'y') ] ], [ hasAllKeys => [ 'n', pick('k', 'zz') ] ])->@* };
	}
	if ($type eq 'array') {
		my @values = grep { defined } map { @{ some_value($entity, $column) } } 1 .. 4;
		my @some = map { pick(@values) } 1 .. int rand 4;
		my $f = { pick('arrayContains', 'arrayContained', 'arrayOverlaps') => @values ? \@some : [] };
		return pick($f, $f, $f, $f, { NOT => $f }, { isNull => pick($true, $false) }, { pick('eq', 'ne') => [ grep { defined } @{ some_value($entity, $column) } ] });
	}
	my $v = some_value($entity, $column);
	return { isNull => pick($true, $false) } unless defined $v;
	return pick(undef, { eq => undef }, { ne => undef }, { isNull => $true }, { isNotNull => pick($true, $false) }) if chance(0.12);
	return { OR => [ map { some_filter($entity, $column, $depth + 1) } 1 .. 2 ] } if $depth < 2 && chance(0.06);
	return { AND => [ map { some_filter($entity, $column, $depth + 1) } 1 .. 2 ] } if $depth < 2 && chance(0.04);
	return { NOT => { pick('eq', 'gt') => $v } } if $type ne 'bool' && chance(0.06);
	if ($type eq 'bool') { my $b = pick($true, $false); return pick($b, { eq => $b }, { ne => $b }, { in => [$b] }) }
	return $v if chance(0.2);
	return { pick('in', 'notIn') => [ grep { defined } map { some_value($entity, $column) } 1 .. int rand 4 ] } if chance(0.25);
	if ($type eq 'text' && chance(0.4)) {
		my $p = $v; substr($p, int rand length($p), 1) = pick('%', '_') if length $p; $p .= '%' if chance(0.4); $p = uc $p if chance(0.3);
		return { pick('like', 'ilike', 'notLike', 'notIlike') => $p };
	}
	return { gte => $v, lt => some_value($entity, $column) // $v } if chance(0.15);
	return { pick('eq', 'ne', 'gt', 'gte', 'lt', 'lte') => $v };
}

sub some_where {
	my ($entity, $depth) = @_;
	my %w;
	for (1 .. 1 + int rand 2) {
		my $k = rand;
		if ($k < 0.65) { my $c = pick(grep { type_of($entity, $_) ne 'other' } sort keys %{ $columns{$entity} }); $w{ shown($c) } = some_filter($entity, $c, 0) }
		elsif ($k < 0.82 && $depth < 3) {
			my $r = pick(sort keys %{ $relations{$entity} });
			next if exists $columns{$entity}{$r};
			$w{ shown($r) } = pick($true, $false, some_where($relations{$entity}{$r}{to}, $depth + 1), some_where($relations{$entity}{$r}{to}, $depth + 1));
		}
		elsif ($depth < 3 && $k < 0.94) { $w{ pick('AND', 'OR') } = [ map { some_where($entity, $depth + 1) } 1 .. int rand 3 ] }
		elsif ($depth < 3) { $w{NOT} = some_where($entity, $depth + 1) }
	}
	return \%w;
}

sub some_direction {
	return pick('asc', 'desc', 'asc', 'desc', 'asc nulls first', 'desc nulls last', 'DESC NULLS FIRST', { direction => pick('asc', 'desc') }, { direction => 'desc', nulls => pick('first', 'last') }, { nulls => pick('first', 'last') });
}

sub fix_direction { my $d = shift; return ref $d ? $d : lc $d }

# always down to the id: then there is but one answer
sub some_order {
	my ($entity) = @_;
	my @o;
	for (1 .. int rand 3) {
		my @ones = grep { $relations{$entity}{$_}{kind} eq 'one' } sort keys %{ $relations{$entity} };
		if (@ones && chance(0.25)) {
			my $r = pick(@ones);
			my $to = $relations{$entity}{$r}{to};
			push @o, { shown($r) => { shown(pick(grep { type_of($to, $_) !~ /other|json|array/ } sort keys %{ $columns{$to} })) => fix_direction(some_direction()) } };
		}
		else { push @o, { shown(pick(grep { type_of($entity, $_) !~ /other|json|array/ } sort keys %{ $columns{$entity} })) => fix_direction(some_direction()) } }
	}
	return [ @o, pick({ id => 'asc' }, { id => 'desc' }, 'id') ];
}

sub some_columns {
	my ($entity) = @_;
	my @c = grep { chance(0.3) } sort keys %{ $columns{$entity} };
	@c = ('id') unless @c;
	return pick([ map { shown($_) } @c ], { map { shown($_) => $true } @c }, { map { shown($_) => $false } @c });
}

sub some_query {
	my ($entity, $kind, $depth, $join) = @_;
	my %q;
	$q{columns} = some_columns($entity) if chance(0.8);
	$q{where} = some_where($entity, 0) if chance($depth > 1 ? 0.35 : 0.7);
	if ($kind ne 'one') {
		$q{orderBy} = some_order($entity);
		$q{limit} = int rand 6 if chance(0.5) && $kind ne 'first';
		$q{offset} = int rand 4 if chance(0.2);
	}
	my @rel = grep { !exists $columns{$entity}{$_} } sort keys %{ $relations{$entity} };
	if ($kind ne 'one' && $kind ne 'first' && chance(0.06)) {
		my @c = grep { type_of($entity, $_) !~ /other|json|array/ } sort keys %{ $columns{$entity} };
		if (chance(0.5)) { $q{distinct} = [ map { shown(pick(@c)) } 1 .. 1 + int rand 2 ] }
		else {
			my @few = grep { chance(0.3) } @c;
			@few = ('created_at') unless @few;
			return { columns => [ map { shown($_) } @few ], distinct => $true, orderBy => [ map { { shown($_) => 'asc' } } @few ], ($q{where} ? (where => $q{where}) : ()), ($q{limit} ? (limit => $q{limit}) : ()) };
		}
	}
	if ($depth < 4 && chance(0.6 / $depth + 0.1)) {
		for my $r (map { pick(@rel) } 1 .. 1 + int rand 2) {
			my $rel = $relations{$entity}{$r};
			$q{with}{ shown($r) } = chance(0.05) ? $false : $rel->{kind} eq 'one' && chance(0.2) ? $true
				: some_query($rel->{to}, $rel->{kind} eq 'one' ? 'one' : 'many', $depth + 1, $rel->{through});
		}
	}
	if (chance(0.15)) {
		for my $r (map { pick(@rel) } 1 .. 2) {
			$q{count}{ shown($r) } = chance(0.5) ? $true : { where => some_where($relations{$entity}{$r}{to}, 1) };
		}
		$q{count}{'*'} = $true if $kind eq 'many' && !$q{distinct} && chance(0.3);
	}
	elsif ($kind eq 'many' && !$q{distinct} && chance(0.1)) { $q{count} = $true }
	$q{deleted} = pick('only', 'include') if chance(0.08);
	$q{extras} = ['path'] if $entity eq 'folders' && !$q{deleted} && chance(0.4);
	$q{through} = chance(0.3) ? $true : { columns => some_columns($join), (chance(0.4) ? (where => some_where($join, 1)) : ()) } if $join && chance(0.4);
	return \%q;
}

# == asking =================================================================

my $ask = <<'SQL';
SET timezone = 'UTC';
SET client_min_messages = error;
CREATE FUNCTION pg_temp.ask(entity text, one bool, query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	message text;
BEGIN
	RETURN jsonb_build_object('ok', CASE WHEN one THEN appdb.find_one(entity, query::json) ELSE appdb.find(entity, query::json) END);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
	RETURN jsonb_build_object('error', SQLSTATE, 'message', message);
END
$$;
SQL

sub ask {
	my $script = $ask;
	for (@_) {
		my ($entity, $one, $query) = @$_;
		my $text = ref $query ? $ordered->encode($query) : $query;
		$text =~ s/'/''/g;
		$script .= sprintf("SELECT pg_temp.ask('%s', %s, E'%s');\n", $entity, $one ? 'true' : 'false', $text =~ s/\\/\\\\/gr);
	}
	my @lines = psql($database, $script);
	die "an answer is missing" unless @lines == @_;
	return map { $json->decode($_) } @lines;
}

# without what only one side has
sub same { return $json->encode($_[0] // JSON::PP::null) eq $json->encode($_[1] // JSON::PP::null) }
# numbers and booleans as JSON has them
sub tidy { return $json->decode($json->encode($_[0])) }

my @asked;
for (1 .. $queries) {
	$is_camel = chance(0.1);
	my $entity = pick(@names);
	my $one = chance(0.15);
	my $q = some_query($entity, $one ? 'first' : 'many', 1);
	delete $q->{limit} if $one;
	$q->{case} = 'camel' if $is_camel;
	push @asked, [ $is_camel ? camel($entity) : $entity, $one, $q, $entity, $is_camel ];
}
my @answers = ask(@asked);
my ($same, $rows, $shown) = (0, 0, 0);
my @notes;
for my $i (0 .. $#asked) {
	my ($name, $one, $q, $entity);
	($name, $one, $q, $entity, $is_camel) = @{ $asked[$i] };
	my $expected = interpret($entity, $one, $q);
	if (exists $answers[$i]{ok} && same($answers[$i]{ok}, tidy($expected))) { $same++; $rows += () = $json->encode($expected) =~ /\{/g; next }
	push @notes, "$name" . ($one ? ' (one)' : '') . ' ' . $json->encode($q), 'got      ' . $json->encode($answers[$i]), 'expected ' . $json->encode($expected) if $shown++ < 5;
}
result($same == @asked, "the same answers to $queries queries (seed $seed, $rows objects)", scalar(@asked) - $same . ' differ', @notes) if $same != @asked;
result(1, "the same answers to $queries queries (seed $seed, $rows objects)") if $same == @asked;
result($rows > $queries * 5, 'which are not empty');

# pages: each row's cursor, both ways
$is_camel = 0;
my @whole;
for (1 .. $queries / 4) {
	my $entity = pick(@names);
	my $order = some_order($entity);
	pop @$order if chance(0.5);
	push @whole, [ $entity, 0, { columns => ['id'], cursor => $true, (@$order ? (orderBy => $order) : ()), (chance(0.3) ? (where => some_where($entity, 0)) : ()) } ];
}
my @lists = ask(@whole);
my (@pages, @wanted);
for my $i (0 .. $#whole) {
	my $list = $lists[$i]{ok} or die $json->encode([ $whole[$i], $lists[$i] ]);
	next unless @$list;
	my $at = int rand @$list;
	my $limit = 1 + int rand 4;
	my $backward = chance(0.5);
	my ($entity, undef, $q) = @{ $whole[$i] };
	push @pages, [ $entity, 0, { %$q, limit => $limit, ($backward ? 'before' : 'after') => $list->[$at]{_cursor} } ];
	my ($from, $to) = $backward ? ($at - $limit, $at - 1) : ($at + 1, $at + $limit);
	$from = 0 if $from < 0;
	$to = $#$list if $to > $#$list;
	push @wanted, [ @$list[ $from .. $to ] ];
}
@answers = ask(@pages);
@notes = ();
my $right = 0;
for my $i (0 .. $#pages) {
	if (exists $answers[$i]{ok} && same($answers[$i]{ok}, $wanted[$i])) { $right++; next }
	push @notes, $json->encode($pages[$i]), 'got      ' . $json->encode($answers[$i]), 'expected ' . $json->encode($wanted[$i]) if @notes < 12;
}
result($right == @pages, 'pages by cursors are parts of the whole list', @notes);

# == broken queries =========================================================

sub junk { return pick(undef, 0, -1, 1.5, 99999999999999999999, 'x', '', "'; SELECT 1 --", [], {}, [ {} ], { x => 1 }, $true, $false, 'asc', [ 'id' ], { id => 'asc' }, "\x{1F600}", { eq => { a => [1] } }, { contains => 5 }, "\"") }

sub mutate {
	my ($node) = @_;
	if (ref $node eq 'HASH' && %$node && chance(0.8)) {
		my %copy = %$node;
		my $k = pick(sort keys %copy);
		my $what = rand;
		if ($what < 0.45) { $copy{$k} = mutate($copy{$k}) }
		elsif ($what < 0.6) { $copy{$k} = junk() }
		elsif ($what < 0.75) { $copy{ pick($k . 's', substr($k, length $k ? 1 : 0), 'where', 'with', 'limit', 'in', 'contains', 'AND', 'after', 'distinct', 'through', 'id', uc $k) } = delete $copy{$k} }
		elsif ($what < 0.9) { $copy{ pick('where', 'with', 'limit', 'offset', 'orderBy', 'count', 'after', 'before', 'cursor', 'distinct', 'extras', 'deleted', 'case', 'columns', 'through', 'eq', 'in', 'contains', 'NOT', 'OR', 'id', '') } = junk() }
		else { return [ \%copy ] }
		return \%copy;
	}
	if (ref $node eq 'ARRAY' && @$node && chance(0.8)) {
		my @copy = @$node;
		my $i = int rand @copy;
		$copy[$i] = chance(0.5) ? junk() : mutate($copy[$i]);
		return \@copy;
	}
	return junk();
}

my @broken;
for my $a (@asked, @asked, @asked) {
	my $q = $a->[2];
	$q = mutate($q) for 1 .. 1 + int rand 2;
	push @broken, [ $a->[0], $a->[1], $json->ascii->encode($q) ];
}
@answers = ask(@broken);
my (%states, @unclean);
for my $i (0 .. $#broken) {
	my $a = $answers[$i];
	$states{ $a->{error} // 'ok' }++;
	next if exists $a->{ok};
	# bad parameters and values, unknown names, limits; each says where
	my $clean = $a->{error} =~ /^(22023|22P02|22P03|22003|22007|22008|22P05|42704|42804|42883|54000|0A000|22021|2201X|2201W)$/ &&
		($a->{message} =~ /\$/ || $a->{message} =~ /^(query|more than|unknown entity)/);
	push @unclean, "$broken[$i][0] $broken[$i][2]", $json->encode($a) unless $clean;
}
result(!@unclean, scalar(@broken) . ' broken queries give answers or clean errors', map { substr($_, 0, 1000) } @unclean[ 0 .. ($#unclean < 20 ? $#unclean : 20) ]);
print '# ', join(', ', map { "$_: $states{$_}" } sort keys %states), "\n";

psql('postgres', "DROP DATABASE $database;");
print "1..$test\n";
exit($failed ? 1 : 0);
