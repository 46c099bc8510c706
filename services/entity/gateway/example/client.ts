// What openapi-typescript and openapi-fetch make of the gateway's OpenAPI, used on a gateway:
//
//   node client.js http://127.0.0.1:8084
import assert from 'node:assert/strict';
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

type Problem = components['schemas']['Problem'];
type Page = components['schemas']['Page'];

const { GET, POST, PUT, PATCH, DELETE } = createClient<paths>({ baseUrl: process.argv[2] });
const id = 'ts/1 ä'; // a path has it percent-encoded
const one = { params: { path: { id } } };
const under = (key: string, etag?: string | null) =>
  ({ params: { path: { id }, header: { 'Idempotency-Key': key, ...(etag ? { 'If-Match': etag } : {}) } } });

function is(problem: Problem | undefined, status: number, type: string): Problem {
  assert.equal(problem?.status, status);
  assert.equal(problem.type, `/problems/${type}`);
  return problem;
}

const missing = await GET('/v1/orders/{id}', one);
is(missing.error, 404, 'not-found');
assert.equal(missing.data, undefined);

const order = { _id: id, customer: 'ada', number: 7, placed: '2026-11-30T08:00:00.000Z', total: '1.50', tags: ['new'], weight: { $numberLong: '5' } };
const made = await POST('/v1/orders', { body: order });
assert.equal(made.response.status, 201);
assert.deepEqual(made.data, order);

const read = await GET('/v1/orders/{id}', one);
const customer: string | boolean | object | null | undefined = read.data?.customer; // not unknown
assert.equal(customer, 'ada');
const etag = read.response.headers.get('ETag');
const known = await GET('/v1/orders/{id}', { params: { path: { id }, header: { 'If-None-Match': etag! } } });
assert.equal(known.response.status, 304);

// The same request under its key is answered as before; another client's version is gone.
for (const replayed of [null, 'true']) {
  const patched = await PATCH('/v1/orders/{id}', { ...under('ts-patch', etag), body: { customer: 'bob', tags: null } });
  assert.deepEqual([patched.data?.customer, patched.data?.tags, patched.response.headers.get('Idempotency-Replayed')], ['bob', undefined, replayed]);
}
is((await PATCH('/v1/orders/{id}', { ...under('ts-late', etag), body: { customer: 'eve' } })).error, 412, 'version');
is((await PATCH('/v1/orders/{id}', { ...under('ts-patch', etag), body: { customer: 'eve' } })).error, 422, 'key-reused');
is((await POST('/v1/orders', { body: { ...order, number: 8 } })).error, 409, 'id-taken');
assert.equal(is((await POST('/v1/orders', { body: { number: 7 } })).error, 409, 'taken').field, 'number');

const event = { type: 'order.paid', data: { number: 7 } };
const told = await PUT('/v1/orders/{id}', { ...under('ts-put'), body: { document: { ...order, customer: 'ts' }, events: [event] },
  headers: { 'Content-Type': 'application/vnd.banyan.write+json' } });
assert.ok(told.response.headers.get('Banyan-Written'));

for (let n = 1; n <= 4; n++) await POST('/v1/orders', { body: { customer: 'ts', number: 70 + n, placed: `2026-11-30T08:00:0${n}.000Z` } });
const numbers: unknown[] = [];
for (let cursor: string | undefined = '', pages = 0; cursor !== undefined; pages++) {
  assert.ok(pages < 5);
  const query = { equal: 'ts', descending: true, limit: 2, ...(cursor && { cursor }) };
  const page: Page = (await GET('/v1/orders/index/by-customer', { params: { query } })).data!;
  numbers.push(...page.items.map(item => item.document.number));
  cursor = page.nextCursor;
}
assert.deepEqual(numbers, [74, 73, 72, 71, 7]);
is((await GET('/v1/orders', { params: { query: { cursor: 'x' } } })).error, 400, 'cursor');

const found = await GET('/v1/orders/by/number', { params: { query: { number: '7' } } });
assert.equal(found.data?._id, id);
const many = await GET('/v1/orders', { params: { query: { id: [id, 'nobody'] } } });
assert.deepEqual(many.data?.items.map(item => item.id), [id]);
is((await DELETE('/v1/orders/{id}', under('ts-delete', etag))).error, 412, 'version');
assert.equal((await DELETE('/v1/orders/{id}', under('ts-delete', found.response.headers.get('ETag')))).response.status, 204);
