# appdb: a PGXS makefile
#
#   make, make install, make installcheck [PG_CONFIG=...]
#       build, install, and test the installed extension on a running server
#   make check          build and run every test on a private server
#   make check-all      the same on every supported version of PostgreSQL
#   make check-memory   the same with UndefinedBehaviorSanitizer in the C code,
#                       then on a server with assertions, under valgrind
#   make crash          kills a server under load, again and again (CYCLES=60)
#   make demo           a private server to try appdb on
#   make bench          benchmarks on a private server
#   make docs           docs/database/schema.md from the catalogs
#   make migration TO=1.2 [RENAME='notes.content=body']
#                       drafts the migration from the last release to the tables here
#   make modules        the TypeScript modules from the catalogs
#   make lint-migrations
#                       finds in sql/migrations/ what would block or lose something
#   make release VERSION=1.1
#                       freezes the scripts of a version in sql/released/
#
# CONTRIBUTING.md says more.

PG_CONFIG ?= pg_config

# These run on a server of their own and call make again to build.  They must
# work where pg_config is not installed yet, and PGXS has a target "check"
# which says that there is none: so they are kept apart from PGXS.
own_targets = check check-all check-memory demo demo-stop demo-clean bench stress roots docs modules release
own_targets += crash lint-migrations migration
own_goals = $(filter $(own_targets),$(MAKECMDGOALS))

ifneq (,$(own_goals))

.NOTPARALLEL:
.PHONY: $(own_targets) $(MAKECMDGOALS)

check:
	@PG_CONFIG='$(PG_CONFIG)' test/harness/check.sh $(TESTS)
check-all:
	@test/harness/check-all.sh
check-memory:
	@COPT='-fsanitize=undefined -fno-omit-frame-pointer -O1' SHLIB_LINK=-fsanitize=undefined \
		PG_CONFIG='$(PG_CONFIG)' test/harness/check.sh $(or $(TESTS),--once)
	@PG_CONFIG='$(PG_CONFIG)' test/harness/valgrind.sh $(filter-out --%,$(TESTS))
roots:
	@test/harness/check-all.sh --only-roots
docs:
	@PG_CONFIG='$(PG_CONFIG)' docs/database/schema.sh > docs/database/schema.md.tmp
	@mv docs/database/schema.md.tmp docs/database/schema.md
modules:
	@APPDB_WRITE_MODULES=1 PG_CONFIG='$(PG_CONFIG)' test/harness/check.sh --once shell/typescript
bench:
	@PG_CONFIG='$(PG_CONFIG)' test/bench/run.sh $(BENCH)
stress:
	@PG_CONFIG='$(PG_CONFIG)' test/harness/check.sh --stress $(TESTS)
crash:
	@PG_CONFIG='$(PG_CONFIG)' APPDB_CRASH_CYCLES='$(or $(CYCLES),60)' test/crash.sh build
migration:
	@PG_CONFIG='$(PG_CONFIG)' tools/migration.sh '$(TO)' $(RENAME)
lint-migrations:
	@tools/run.sh lint-migrations.mjs $(patsubst %,--released %,$(wildcard sql/released/SHA256SUMS)) \
		$(filter-out %.engine.sql,$(wildcard sql/migrations/*--*.sql))
release:
	@sh sql/release.sh '$(VERSION)' $(AGAIN)
demo:
	@PG_CONFIG='$(PG_CONFIG)' demo/run.sh start
demo-stop:
	@PG_CONFIG='$(PG_CONFIG)' demo/run.sh stop
demo-clean:
	@PG_CONFIG='$(PG_CONFIG)' demo/run.sh clean

# anything named beside them, as in "make clean check"
other_goals = $(filter-out $(own_targets),$(MAKECMDGOALS))
ifneq (,$(other_goals))
$(other_goals):
	@$(MAKE) --no-print-directory $@
endif

else # own_goals

# the version is said once, in the control file
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" appdb.control)

EXTENSION = appdb
MODULE_big = appdb
PGFILEDESC = "appdb - the data layer of an application"
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
SHARED_HEADERS = $(wildcard src/*.h)

# Scripts: those of released versions are frozen, those that lead to this one
# are built, until it is released as well.
DATA = $(sort $(wildcard sql/released/appdb--*.sql))
RELEASED = $(foreach f,$(notdir $(DATA)),$(if $(findstring --,$(subst appdb--,,$(f))),,$(patsubst appdb--%.sql,%,$(f))))
DATA_built = $(filter-out $(notdir $(DATA)),appdb--$(EXTVERSION).sql \
	$(foreach v,$(filter-out $(EXTVERSION),$(RELEASED)),appdb--$(v)--$(EXTVERSION).sql))

# The tests of the installed extension.  Every file finds the extension there.
REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=appdb
ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%,$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=appdb
ifeq (,$(REGRESS))
undefine REGRESS
endif
ifeq (,$(ISOLATION))
undefine ISOLATION
endif

# What the objects were built for, so that another server version or other
# flags build them anew.
BUILT_FOR = .built-for
EXTRA_CLEAN = $(BUILT_FOR) appdb--*.sql.tmp

# "make WERROR=1", as the project's own tests build, makes warnings errors.
# The server's headers are not ours to judge: -isystem.
ifdef WERROR
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Werror
endif
PG_CPPFLAGS += -DAPPDB_VERSION='"$(EXTVERSION)"'

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(PGXS))
$(error $(PG_CONFIG) not found: install the server's development files (Debian: postgresql-server-dev-NN) or say PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)

# 16 and later look for expected results by this option, 15 in the inputdir
ifneq (15,$(MAJORVERSION))
ISOLATION_OPTS += --expecteddir=test/isolation
endif

$(OBJS) $(OBJS:.o=.bc): $(SHARED_HEADERS) $(BUILT_FOR)

built_for = $(VERSION) $(pkglibdir) $(CC) $(CPPFLAGS) $(CFLAGS) $(COPT) $(SHLIB_LINK)
ifneq ($(strip $(built_for)),$(strip $(shell cat $(BUILT_FOR) 2>/dev/null)))
.PHONY: $(BUILT_FOR)
endif
$(BUILT_FOR):
	$(file >$@,$(strip $(built_for)))@:

# appdb--NEW.sql and appdb--OLD--NEW.sql; sql/script.sh says what is in them
$(DATA_built): $(wildcard sql/*.sql sql/migrations/*.sql) sql/script.sh sql/update.awk appdb.control
	sh sql/script.sh $(EXTVERSION) $(filter-out $(EXTVERSION),$(subst --, ,$(patsubst appdb--%.sql,%,$@))) > $@.tmp
	mv $@.tmp $@

endif # own_goals
