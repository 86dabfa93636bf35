import type { FastifyInstance } from 'fastify';
import { registerConsolePages } from './console/page-routes.js';
import { type ConsoleAccess, registerSessionRoutes } from './console/session-routes.js';
import type { ApiContext } from './context.js';
import { registerDocsRoute } from './docs-route.js';
import type { EventStreams } from './event-streams.js';
import { registerEventsRoute } from './events-route.js';
import { registerHealthRoutes, type ServerHealth } from './health.js';
import { registerReloadRoute } from './reload-route.js';
import { originOf, registerOperations } from './routes.js';
import { registerTokenRoute } from './token-route.js';

/** What the routes of a server work with. */
export interface RouteParts extends ConsoleAccess {
  readonly context: ApiContext;
  readonly health: ServerHealth;
  readonly streams: EventStreams;
}

/** Registers everything that the server answers, after its hooks and the schemas of its document. */
export function registerRoutes(app: FastifyInstance, parts: RouteParts): void {
  const { context, health, streams, authenticator, assets } = parts;
  app.get('/openapi.json', { schema: { hide: true }, config: { public: true } }, async (request) => ({
    ...app.swagger(),
    servers: [{ url: originOf(request, context) }],
  }));
  registerDocsRoute(app);
  registerHealthRoutes(app, health);
  if (authenticator !== undefined) registerTokenRoute(app, authenticator, context);
  registerReloadRoute(app, context);
  registerEventsRoute(app, context, streams);
  if (assets !== undefined) registerConsolePages(app, assets);
  registerSessionRoutes(app, context, parts);
  registerOperations(app, context);
}
