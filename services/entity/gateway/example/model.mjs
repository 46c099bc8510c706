// model reads and writes an entity through banyan-entity, in the place of a Mongoose model:
//
//   const Theater = model('http://127.0.0.1:8084/v1/theaters');
//   const { document, etag } = await Theater.findById(id);
//   await Theater.update(id, theater => { theater.screens = 12; });
//
// Every method waits as long as the entity changes its owner, and repeats what had no answer
// without a second effect. It throws a Problem when the answer is one, or patience ends.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export class Problem extends Error {
  constructor(status, { type = 'about:blank', title = 'No answer', detail, field } = {}, cause) {
    super(detail ?? title, { cause });
    Object.assign(this, { status, type, title, field });
  }
}

// Times are in milliseconds: attempt bounds one request, which the gateway answers within 8 s
// by its defaults, and patience all that a method does.
export function model(url, { token, attempt = 10_000, patience = 60_000 } = {}) {
  // send repeats a request, with the same Idempotency-Key, until something is said about it.
  async function send(method, path, { body, ...headers } = {}, until = Date.now() + patience) {
    if (token) headers.authorization = `Bearer ${token}`;
    if (body) headers['content-type'] = 'application/json';
    if (method !== 'GET') headers['idempotency-key'] = randomUUID();
    for (let pause = 50; ; pause = Math.min(2 * pause, 1000)) {
      let problem;
      let wait = pause * Math.random();
      try {
        const signal = AbortSignal.timeout(Math.max(1, Math.min(attempt, until - Date.now())));
        const res = await fetch(url + path, { method, headers, body: body && JSON.stringify(body), signal });
        const text = await res.text();
        const document = text ? JSON.parse(text) : null;
        if (res.ok) return { document, etag: res.headers.get('etag') };
        problem = new Problem(res.status, document);
        wait = Math.max(wait, 1000 * (Number(res.headers.get('retry-after')) || 0));
      } catch (cause) { // refused, cut off, timed out, or from something before the gateway
        problem = new Problem(503, {}, cause);
      }
      if (problem.status < 500 || Date.now() + wait > until) throw problem;
      await sleep(wait);
    }
  }

  const at = id => '/' + encodeURIComponent(id);
  const orNull = async found => {
    try {
      return await found;
    } catch (problem) {
      if (problem.status === 404) return null;
      throw problem;
    }
  };

  return {
    create: document => send('POST', '', { body: document }),
    findById: id => orNull(send('GET', at(id))),
    // findOne finds by a unique constraint of the plan.
    findOne: (constraint, values) => orNull(send('GET', `/by/${constraint}?${new URLSearchParams(values)}`)),
    // find goes through an index of the plan, or through all without one, page by page.
    async * find(index, query = {}) {
      for (let cursor; cursor !== null;) {
        const search = new URLSearchParams(cursor ? { ...query, cursor } : query);
        const { document: page } = await send('GET', `${index ? `/index/${index}` : ''}?${search}`);
        yield* page.items;
        cursor = page.nextCursor ?? null;
      }
    },
    // update changes the document by a function, which is called again on what others made of
    // it meanwhile.
    async update(id, change) {
      for (const until = Date.now() + patience; ;) {
        const { document, etag } = await send('GET', at(id), {}, until);
        change(document);
        try {
          return await send('PUT', at(id), { body: document, 'if-match': etag }, until);
        } catch (problem) {
          if (problem.status !== 412 || Date.now() > until) throw problem;
        }
      }
    },
    deleteOne: (id, etag) => send('DELETE', at(id), etag && { 'if-match': etag }),
  };
}
