// Reads and writes through app.mjs until SIGTERM, and then looks whether all that was
// acknowledged is there, once, and every version right. No request may fail, none is repeated.
//
//   APP_URL=http://127.0.0.1:3000 node load.mjs NUMBER...
//
// The numbers are those of theaters that are there before. It exits with 0 if all is well.
import { randomUUID } from 'node:crypto';

const app = process.env.APP_URL;
const faults = [];
const known = new Map(); // of theaters, by id: the last version that was acknowledged, reviews with theirs, and all else
let requests = 0;
let stopped = false;
process.on('SIGTERM', () => { stopped = true; });

async function send(method, path, status, body) {
  requests++;
  try {
    const res = await fetch(app + path, { method, body: body && JSON.stringify(body) });
    const text = await res.text();
    if (res.status !== status) throw new Error(`${res.status} ${text}`);
    return { document: text ? JSON.parse(text) : null, version: Number(JSON.parse(res.headers.get('etag'))) };
  } catch (err) {
    faults.push(`${method} ${path}: ${err.cause ?? err.message}`);
  }
}

const without = ({ reviews, ...rest }) => JSON.stringify(rest);

function acknowledged({ document, version }, review) {
  const id = document._id;
  const theater = known.get(id) ?? known.set(id, { first: version, version, reviews: new Map(), rest: without(document) }).get(id);
  theater.version = Math.max(theater.version, version);
  if (review) theater.reviews.set(review, version);
}

const pick = () => [...known.keys()][Math.floor(Math.random() * known.size)];

async function read() {
  const id = pick();
  const { version: atLeast } = known.get(id);
  const got = await send('GET', `/theaters/${id}`, 200);
  if (got && got.version < atLeast) faults.push(`${id} is read in version ${got.version} after ${atLeast} was acknowledged`);
}

async function review() {
  const id = pick();
  const name = randomUUID();
  const got = await send('POST', `/theaters/${id}/reviews`, 201, { name, stars: 5 });
  if (got) acknowledged(got, name);
}

let number = 100_000;

async function open() {
  const theaterId = number++;
  const got = await send('POST', '/theaters', 201, { theaterId, chain: 'new' });
  if (!got) return;
  const id = got.document._id;
  const again = await send('GET', `/numbers/${theaterId}`, 200);
  if (again && again.document._id !== id) faults.push(`the number ${theaterId} is found with another theater`);
  if (theaterId % 2) return acknowledged(got);
  await send('DELETE', `/theaters/${id}`, 204);
  await send('GET', `/theaters/${id}`, 404);
}

async function chain() {
  const got = await send('GET', '/chains/new', 200);
  const ids = new Set(got?.document.map(({ _id }) => _id));
  if (got && ids.size !== got.document.length) faults.push('a chain has a theater twice');
  return ids;
}

const work = [read, read, read, read, review, review, review, review, open, chain];

async function worker(n) {
  for (let i = n; !stopped && faults.length < 10; i++) await work[i % work.length]();
}

for (const theaterId of process.argv.slice(2)) {
  const got = await send('GET', `/numbers/${theaterId}`, 200);
  if (got) acknowledged(got);
}
if (known.size > 0) await Promise.all([...Array(8).keys()].map(worker));

for (const [id, { first, version, reviews, rest }] of known) {
  const got = await send('GET', `/theaters/${id}`, 200);
  const names = (got?.document.reviews ?? []).map(({ name }) => name);
  if (names.length !== reviews.size || !names.every(name => reviews.has(name))) faults.push(`${id} has ${names.length} reviews, acknowledged are ${reviews.size}`);
  if (got && without(got.document) !== rest) faults.push(`${id} was ${rest} besides its reviews, and is ${without(got.document)}`);
  const versions = [...reviews.values()].sort((a, b) => a - b);
  if (versions.some((v, i) => v !== first + 1 + i) || got?.version !== version) faults.push(`${id} is of version ${got?.version}, acknowledged are ${versions}`);
}
const ids = await chain(); // indexes of DynamoDB may lag, which is no matter here: nothing was written for a while
for (const [id, { first }] of known) if (first === 1 && !ids.has(id)) faults.push(`${id} is not in its chain`);
const writes = [...known.values()].reduce((n, { reviews }) => n + reviews.size, 0);
console.log(faults.length ? faults.slice(0, 20).join('\n') : `All of ${requests} requests were answered; ${writes} reviews of ${known.size} theaters are there once.`);
process.exitCode = faults.length || !writes ? 1 : 0;
