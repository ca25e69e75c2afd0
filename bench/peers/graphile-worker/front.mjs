// graphile-worker behind HTTP: it is a library, so the load generator reaches it through the thinnest server that calls it.
//
//   node front.mjs PORT DATABASE_URL
//
// graphile-worker deletes a job that is done, so its task writes a row of its own, which is what the result is read from.
import http from 'node:http';
import { makeWorkerUtils } from 'graphile-worker';
import pg from 'pg';

const CONNECTIONS = 32;
const [port, connectionString] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString, max: CONNECTIONS });
await pool.query('CREATE TABLE IF NOT EXISTS results (id text PRIMARY KEY, data jsonb)');
const utils = await makeWorkerUtils({ pgPool: pool });
await utils.migrate();

/** Adds a job under the idempotency key of the request; a repeat replaces the job as long as it is not done. */
async function accept(request) {
  const input = JSON.parse(await bodyOf(request));
  const key = request.headers['idempotency-key'];
  await utils.addJob('noop', input, { jobKey: key });
  return [202, { id: key }];
}

/** 200 once the task has written its row, 404 before. */
async function result(request) {
  const id = request.url.split('/').at(-1);
  const found = await pool.query({ name: 'result', text: 'SELECT 1 FROM results WHERE id = $1', values: [id] });
  return found.rowCount > 0 ? [200, { id, state: 'done' }] : [404, {}];
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const server = http.createServer(async (request, response) => {
  let status, body;
  try {
    [status, body] = await (request.method === 'POST' ? accept(request) : result(request));
  } catch (error) {
    [status, body] = [500, { error: String(error) }];
  }
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
});
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));
