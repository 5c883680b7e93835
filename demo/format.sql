-- how the demo shows results
\set QUIET 1
\pset border 1
\pset linestyle unicode
\pset null '·'
\pset footer off
\pset pager off
SET client_min_messages = warning;
