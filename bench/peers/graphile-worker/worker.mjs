// The worker of graphile-worker, with its local queue: a task that does nothing and writes its result row.
//
//   node worker.mjs DATABASE_URL
import { Logger, run } from 'graphile-worker';
import pg from 'pg';

const CONCURRENT_JOBS = 32;
const LOCAL_QUEUE = 500;
const CONNECTIONS = 32;
const [connectionString] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString, max: CONNECTIONS });

async function noop(payload) {
  await pool.query({
    name: 'insert',
    text: 'INSERT INTO results VALUES ($1, $2) ON CONFLICT DO NOTHING',
    values: [payload.id, payload],
  });
}

await run({
  pgPool: pool,
  logger: new Logger(() => () => {}),
  preset: {
    worker: {
      concurrentJobs: CONCURRENT_JOBS,
      pollInterval: 100,
      localQueue: { size: LOCAL_QUEUE },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
  taskList: { noop },
});
console.log('ready');
