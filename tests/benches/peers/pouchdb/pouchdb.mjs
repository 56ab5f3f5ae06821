// Measures PouchDB as a peer for the sync benchmark: a client in this process replicates to a server
// that speaks the CouchDB protocol in a child process, both on LevelDB files, over loopback HTTP.
//
//   node pouchdb.mjs --records records.jsonl --dir SCRATCH [--batch 1000]
//
// A line of the records is {"id": "...", "versions": [{...}, ...]}: a record's whole JSON after each of
// its saves. One JSON object on stdout is the result. What to know when comparing:
//
// - Replication carries a document's newest body and the hashes of the older revisions, not the older
//   bodies: only the client keeps those.
// - Both ends run as they come, HTTP connections and compression included. Only the batch size is set.
// - PouchDB does not ask LevelDB to sync its writes to the disk.
// - Bytes are those of the TCP streams, both ways: HTTP headers count, TCP and IP headers do not.

import { fork } from 'node:child_process';
import { createReadStream, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HOST = '127.0.0.1';
const DATABASE = 'bench';
const REPEATS = 3;

// ---- the server: a child process ----

// Answers {ask: 'usage'} over the channel to its parent, and ends with it.
async function serve(dir) {
  process.on('disconnect', () => process.exit());
  const { default: PouchDB } = await import('pouchdb');
  const { default: expressPouchDB } = await import('express-pouchdb');

  const Stored = PouchDB.defaults({ prefix: path.join(dir, path.sep) });
  const server = expressPouchDB(Stored, { mode: 'minimumForPouchDB' }).listen(0, HOST);

  let closedBytes = 0;
  const open = new Set();
  const bytesOf = (socket) => socket.bytesRead + socket.bytesWritten;
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => {
      open.delete(socket);
      closedBytes += bytesOf(socket);
    });
  });

  process.on('message', () => {
    let bytes = closedBytes;
    for (const socket of open) bytes += bytesOf(socket);
    process.send({ cpu: cpuSeconds(), bytes, peakRss: peakRss() });
  });
  server.on('error', fail);
  server.on('listening', () => process.send({ port: server.address().port }));
}

// Linux carries the parent's peak over fork and exec into maxRSS, so the kernel's own mark of this
// process's memory goes first.
function peakRss() {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

class Server {
  static async start(dir) {
    await mkdir(dir);
    const child = fork(fileURLToPath(import.meta.url), ['--serve', dir], {
      cwd: dir,
      stdio: ['ignore', 2, 2, 'ipc'], // stdout is for the result
    });
    const server = new Server();
    server.child = child;
    server.dir = dir;
    server.died = new Promise((_, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => reject(new Error(`the server ended early (${signal ?? code})`)));
    });
    server.died.catch(() => {}); // whoever waits for the server hears of it
    try {
      server.port = (await server.reply()).port;
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    return server;
  }

  // What `work` comes to, unless the server dies first.
  whileAlive(work) {
    return Promise.race([work, this.died]);
  }

  reply() {
    return this.whileAlive(new Promise((resolve) => this.child.once('message', resolve)));
  }

  usage() {
    const reply = this.reply();
    this.child.send({ ask: 'usage' });
    return reply;
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
  }
}

// ---- the client: this process ----

// Lines are read anew for each round of saves, so that the records need not fit in memory.
async function* readRecords(file) {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number += 1;
    if (line.trim() === '') continue;
    let record;
    try {
      record = JSON.parse(line);
    } catch {
      throw new Error(`${file}:${number}: not JSON`);
    }
    if (typeof record?.id !== 'string' || !Array.isArray(record.versions) || record.versions.length === 0) {
      throw new Error(`${file}:${number}: needs an id and at least one version`);
    }
    yield record;
  }
}

async function save(db, docs, revs) {
  for (const row of await db.bulkDocs(docs)) {
    if (row.error) throw new Error(`saving ${row.id}: ${row.message ?? row.name}`);
    revs.set(row.id, row.rev);
  }
}

// Saves what the records were, round by round, as an offline client would have.
async function saveHistory(db, file, batch) {
  const revs = new Map(); // newest revision of each record
  let saves = 0;
  let rounds = 1;
  for (let round = 0; round < rounds; round += 1) {
    let docs = [];
    for await (const { id, versions } of readRecords(file)) {
      rounds = Math.max(rounds, versions.length);
      if (round >= versions.length) continue;
      const doc = { ...versions[round], _id: id };
      if (round > 0) doc._rev = revs.get(id);
      docs.push(doc);
      saves += 1;
      if (docs.length === batch) {
        await save(db, docs, revs);
        docs = [];
      }
    }
    if (docs.length > 0) await save(db, docs, revs);
  }
  if (revs.size === 0) throw new Error(`${file}: no records`);
  return { revs, saves };
}

// Changes a field in `count` records spread over all of them, others for each `turn`.
async function change(db, revs, count, turn) {
  const ids = [...revs.keys()];
  const step = Math.floor(ids.length / count);
  const keys = Array.from({ length: count }, (_, i) => ids[i * step + (turn % step)]);
  const { rows } = await db.allDocs({ keys, include_docs: true });
  await save(db, rows.map(({ doc }) => ({ ...doc, urgency: `changed-${turn}` })), revs);
}

// Replicates once, and checks that `expected` documents were written.
async function replicate(db, server, remote, batch, expected) {
  await settle(server);
  const before = await server.usage();
  const cpuBefore = cpuSeconds();
  const start = performance.now();
  const done = await server.whileAlive(db.replicate.to(remote, { batch_size: batch }));
  const ms = performance.now() - start;
  const clientCpu = cpuSeconds() - cpuBefore;
  const after = await server.usage();
  if (!done.ok || done.doc_write_failures > 0 || done.docs_written !== expected) {
    throw new Error(`replicated ${done.docs_written} of ${expected} documents, ${done.doc_write_failures} failed`);
  }
  return { ms, bytes: after.bytes - before.bytes, clientCpu, serverCpu: after.cpu - before.cpu, peakRss: after.peakRss };
}

// Waits, for a bounded time, till what earlier steps left to both processes (LevelDB's compaction,
// garbage) is done, so that it is not charged to the next step.
async function settle(server) {
  const cpu = async () => cpuSeconds() + (await server.usage()).cpu;
  for (let tries = 0, last = await cpu(); tries < 100; tries += 1) {
    await sleep(200);
    const now = await cpu();
    if (now - last < 0.01) return;
    last = now;
  }
}

function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function diskBytes(dir) {
  let bytes = 0;
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(path.join(entry.parentPath ?? entry.path, entry.name))).size;
  }
  return bytes;
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (value, digits) => Number(value.toFixed(digits));

async function measure(file, dir, batch) {
  const { default: PouchDB } = await import('pouchdb');
  await mkdir(dir, { recursive: true });
  const run = await mkdtemp(path.join(path.resolve(dir), 'pouchdb-'));
  let db, server;
  try {
    db = new PouchDB(path.join(run, 'client'));
    const { revs, saves } = await saveHistory(db, file, batch);

    server = await Server.start(path.join(run, 'server'));
    // Made by its URL, so that the database is created within the measured time.
    const remote = `http://${HOST}:${server.port}/${DATABASE}`;
    const first = await replicate(db, server, remote, batch, revs.size);
    await settle(server);
    const serverBytes = await diskBytes(path.join(server.dir, DATABASE));

    const changed = Math.max(1, Math.round(revs.size / 100));
    const onePercent = [];
    const nothing = [];
    for (let turn = 0; turn < REPEATS; turn += 1) {
      await change(db, revs, changed, turn);
      onePercent.push(await replicate(db, server, remote, batch, changed));
      nothing.push(await replicate(db, server, remote, batch, 0));
    }

    const of = (results, key) => median(results.map((result) => result[key]));
    return {
      peer: 'pouchdb',
      versions: {
        node: process.versions.node,
        pouchdb: createRequire(import.meta.url)('pouchdb/package.json').version,
      },
      records: revs.size,
      saves,
      first_s: round(first.ms / 1000, 3),
      first_bytes: first.bytes,
      client_cpu_s: round(first.clientCpu, 3),
      server_cpu_s: round(first.serverCpu, 3),
      server_peak_rss_bytes: first.peakRss,
      server_db_bytes: serverBytes,
      one_percent_ms: round(of(onePercent, 'ms'), 1),
      one_percent_bytes: of(onePercent, 'bytes'),
      nothing_ms: round(of(nothing, 'ms'), 1),
      nothing_bytes: of(nothing, 'bytes'),
    };
  } finally {
    await server?.stop();
    await db?.close();
    await rm(run, { recursive: true, force: true });
  }
}

function fail(error) {
  const why = error?.message ?? error?.reason ?? String(error);
  process.stderr.write(`pouchdb: ${String(why).split('\n')[0]}\n`);
  process.exit(1);
}

async function main() {
  const { values } = parseArgs({
    options: {
      records: { type: 'string' },
      dir: { type: 'string' },
      batch: { type: 'string', default: '1000' },
      serve: { type: 'string' }, // the child's own start
    },
  });
  if (values.serve !== undefined) return serve(values.serve);
  const batch = Number(values.batch);
  if (!values.records || !values.dir || !Number.isInteger(batch) || batch < 1) {
    throw new Error('usage: node pouchdb.mjs --records records.jsonl --dir SCRATCH [--batch 1000]');
  }
  console.log(JSON.stringify(await measure(values.records, values.dir, batch)));
}

process.on('uncaughtException', fail);
main().catch(fail);
