// An application in Node.js whose theaters were a Mongoose model, and are one of model.mjs now:
//
//   APP_PORT=3000 THEATERS_URL=http://127.0.0.1:8084/v1/theaters node app.mjs
import http from 'node:http';
import { model, Problem } from './model.mjs';

const Theater = model(process.env.THEATERS_URL, { token: process.env.ENTITY_TOKEN });
const notFound = new Problem(404, { title: 'Not found' });

const routes = [];
const route = (method, path, handler) => routes.push({
  method, handler, path: new RegExp(`^${path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`),
});

route('GET', '/theaters/:id', async ({ id }) => await Theater.findById(id) ?? notFound);

route('GET', '/numbers/:theaterId', async values => await Theater.findOne('theaterId', values) ?? notFound);

route('GET', '/chains/:chain', async ({ chain }) => {
  const found = [];
  for await (const { document } of Theater.find('by-chain', { equal: chain, descending: true, limit: 20 })) found.push(document);
  return { document: found };
});

route('POST', '/theaters', async (_, { theaterId, chain }) => ({ status: 201, ...await Theater.create({ theaterId, chain }) }));

route('POST', '/theaters/:id/reviews', async ({ id }, review) => ({
  status: 201,
  ...await Theater.update(id, theater => { (theater.reviews ??= []).push(review); }),
}));

route('DELETE', '/theaters/:id', async ({ id }) => ({ status: 204, ...await Theater.deleteOne(id) }));

async function answer(req) {
  const { pathname } = new URL(req.url, 'http://app');
  for (const { method, path, handler } of routes) {
    const match = method === req.method && path.exec(pathname);
    if (!match) continue;
    let body = '';
    for await (const chunk of req.setEncoding('utf8')) body += chunk;
    const params = Object.fromEntries(Object.entries(match.groups ?? {}).map(([name, text]) => [name, decodeURIComponent(text)]));
    return handler(params, body && JSON.parse(body));
  }
  return notFound;
}

const server = http.createServer(async (req, res) => {
  const { status = 200, title, message, document = { title, message }, etag } =
    await answer(req).catch(err => err instanceof Problem ? err : (console.error(err), { status: 500, title: 'Internal error' }));
  if (etag) res.setHeader('ETag', etag);
  res.writeHead(status, { 'Content-Type': 'application/json' }).end(status === 204 ? '' : JSON.stringify(document));
});
server.listen(Number(process.env.APP_PORT), '127.0.0.1');
process.on('SIGTERM', () => server.close());
