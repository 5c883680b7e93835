-- One file of this repository: where it is, how long, its hash.
-- Variables: path, mime_type, size, sha256
INSERT INTO appdb.files (space_id, user_id, name, mime_type, size_bytes, checksum_sha256, storage_provider, storage_key, status)
SELECT s.id, u.id, regexp_replace(:'path', '^.*/', ''), :'mime_type', :size, :'sha256', 'local', :'path', 'uploaded'
FROM appdb.spaces AS s, appdb.users AS u
WHERE s.slug = 'handbook' AND u.email = 'jonas@lumen.example';
