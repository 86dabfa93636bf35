import type { FastifyInstance } from 'fastify';
import type { ConsoleAssets } from './assets.js';

/** Path of the console's pages. */
export const CONSOLE_PATH = '/console/';

const page = { schema: { hide: true }, config: { public: true, page: true } };

/** `/console/`: the pages and their files. They contain nothing of this site, and take no token. */
export function registerConsolePages(app: FastifyInstance, assets: ConsoleAssets): void {
  for (const path of ['/', '/console']) {
    app.get(path, page, (_request, reply) => reply.redirect(CONSOLE_PATH, 302));
  }
  app.get(`${CONSOLE_PATH}*`, page, async (request, reply) => {
    const { '*': path } = request.params as { readonly '*': string };
    const file = await assets.find(path, request.headers['accept-encoding']);
    if (file !== undefined) {
      reply.headers(file.headers);
      if (request.headers['if-none-match'] === file.headers.etag) return reply.code(304).send();
      return reply.send(file.body);
    }
    if (assets.isBuilt) {
      reply.callNotFound();
      return reply;
    }
    return reply
      .code(503)
      .type('text/html; charset=utf-8')
      .headers({ 'content-security-policy': "default-src 'none'", 'cache-control': 'no-store' })
      .serializer((text: unknown) => String(text))
      .send(NOT_BUILT);
  });
}

/** What a checkout shows of which the console was not built; packages have it. */
const NOT_BUILT = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Culvert: the console is not built</title></head>
<body>
<h1>The console is not built</h1>
<p>The API of this server works. Its console is built apart: run <code>npm run console:build</code> in the folder of the
program, which takes about a minute, and load this page again. The server need not be restarted.</p>
</body>
</html>
`;
