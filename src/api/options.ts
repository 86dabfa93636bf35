import type { Site } from '../store/site.js';
import type { Store } from '../store/store.js';
import type { EventHub } from '../telemetry/events/event-hub.js';
import type { Logger } from '../telemetry/log.js';
import type { AuthOptions } from './auth/authenticator.js';
import type { ReloadServer } from './context.js';
import type { ApiObserver } from './observer.js';
import type { GatewayRunner } from './runner.js';

/** How callers on TCP authenticate. Callers on the Unix socket never do: its mode admits root only. */
export type ApiAuth =
  | ({ readonly mode: 'tokens' } & Omit<AuthOptions, 'account'>)
  /** Every caller may do everything: on a loopback address only, and only when asked for by this value. */
  | { readonly mode: 'none' };

/** What the REST server is made of. */
export interface ApiOptions {
  readonly store: Store;
  readonly runner: GatewayRunner;
  readonly site: Site;
  readonly logger: Logger;
  readonly auth: ApiAuth;
  /** The time of day; the system's when left out. */
  readonly now?: () => Date;
  /** Certificate chain and key, PEM: the TCP listener then speaks HTTPS only. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Reads the server's file again, for clients that ask for it. */
  readonly reload?: ReloadServer;
  readonly observer?: ApiObserver;
  /** Addresses and networks of proxies whose X-Forwarded-For says where a request comes from. */
  readonly trustProxy?: readonly string[];
  /** Where events come together; one of the server's own when left out. */
  readonly events?: EventHub;
  /** Folder of the built console, which is served below `/console/`; no console when left out. */
  readonly console?: string;
}
