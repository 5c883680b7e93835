SET LOCAL lock_timeout = 0;
CREATE TYPE app_data.mood AS ENUM ('good', 'bad');
