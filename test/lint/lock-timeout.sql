CREATE TYPE app_data.mood AS ENUM ('good', 'bad');
SET LOCAL lock_timeout = '5s';
