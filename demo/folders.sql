-- Goes down the directories of "folder", making those folders that are not
-- there; "parent" is the last one. Includes itself for each level.
SELECT :'folder' <> '' AS more, split_part(:'folder', '/', 1) AS first,
	CASE WHEN position('/' IN :'folder') > 0 THEN substr(:'folder', position('/' IN :'folder') + 1) ELSE '' END AS rest \gset
\if :more
	INSERT INTO appdb.folders (space_id, parent_id, name) VALUES (:'space', nullif(:'parent', '')::uuid, :'first')
	ON CONFLICT (space_id, parent_id, name) WHERE deleted_at IS NULL DO NOTHING;
	SELECT id AS parent FROM appdb.folders
	WHERE space_id = :'space' AND parent_id IS NOT DISTINCT FROM nullif(:'parent', '')::uuid AND name = :'first' \gset
	\set folder :rest
	\ir folders.sql
\endif
