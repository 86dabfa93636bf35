import type { ConfigIssue } from '../../store/config-error.js';
import type { EtcdPlace } from '../../store/etcd/place.js';
import * as Type from '../../util/json-schema.js';

/** Where the store of a server is. */
export type StorePlace =
  | { readonly engine: 'sqlite'; readonly path: string }
  | ({ readonly engine: 'etcd' } & EtcdPlace);

const closed = { additionalProperties: false } as const;
const Path = Type.String({ minLength: 1, maxLength: 1024, description: 'the path of a file' });

/** `store` in the server's file where it is no file. */
export const StorePlaceSchema = Type.Object(
  {
    etcd: Type.Object(
      {
        endpoints: Type.Array(
          Type.String({
            pattern: '^https?://(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9][-A-Za-z0-9.]*):[0-9]{1,5}$',
            description: 'a member of etcd as https://host:2379',
          }),
          { minItems: 1, maxItems: 9, uniqueItems: true },
        ),
        cluster: Type.Optional(
          Type.String({
            pattern: '^[a-z0-9][-a-z0-9]{0,62}$',
            description: 'lower-case letters, digits and hyphens; keys in etcd are below culvert/CLUSTER/',
          }),
        ),
        tls: Type.Optional(
          Type.Object(
            { ca: Type.Optional(Path), certificate: Type.Optional(Path), key: Type.Optional(Path) },
            closed,
          ),
        ),
        user: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
        password_file: Type.Optional(Path),
        plain_http: Type.Optional(Type.Boolean()),
      },
      closed,
    ),
  },
  closed,
);
type PlaceInput = Type.Static<typeof StorePlaceSchema>;
type EtcdInput = PlaceInput['etcd'];

/** What the place of a store is read with. */
interface Reading {
  readonly issues: ConfigIssue[];
  /** Makes a path absolute. */
  readonly path: (text: string) => string;
  /** `signing_key_file` and `sealing_key_file`. */
  readonly keys: { readonly signing: string | undefined; readonly sealing: string | undefined };
}

/** The place that `store` names, a file unless it has fields. Faults are added to the issues. */
export function readStorePlace(store: string | PlaceInput, reading: Reading): StorePlace {
  const { path, keys, issues } = reading;
  if (typeof store === 'string') return { engine: 'sqlite', path: path(store) };
  const { endpoints, cluster = 'default', tls = {}, user, password_file: password } = store.etcd;
  checkEndpoints(store.etcd, issues);
  checkPairs(store.etcd, issues);
  for (const [field, name] of [
    ['sealing_key_file', keys.sealing],
    ['signing_key_file', keys.signing],
  ] as const) {
    if (name !== undefined) continue;
    const message = 'is missing: with "store.etcd" every host needs the same one ("openssl rand -hex 32")';
    issues.push({ path: [field], rule: 'missing', message });
  }
  const files = Object.entries(tls).map(([field, name]) => [field, path(name)]);
  return {
    ...{ engine: 'etcd', endpoints, cluster, tls: Object.fromEntries(files) },
    ...(user === undefined || password === undefined
      ? {}
      : { login: { user, passwordFile: path(password) } }),
  };
}

/** What crosses a network unprotected can be changed there, and with it every gateway. */
function checkEndpoints({ endpoints, plain_http: plain = false }: EtcdInput, issues: ConfigIssue[]): void {
  const isPlain = (url: string): boolean => url.startsWith('http:');
  for (const [index, url] of endpoints.entries()) {
    const path = ['store', 'etcd', 'endpoints', index];
    if (isPlain(url) !== isPlain(endpoints[0]!)) {
      issues.push({
        path,
        message: `"${url}" differs from the first one: take https for all or http for all`,
      });
    } else if (isPlain(url) && !isLoopback(new URL(url).hostname) && !plain) {
      const message = `"${url}" is not protected: use https, or set "plain_http: true" where the network protects it`;
      issues.push({ path, message });
    }
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\./.test(host);
}

function checkPairs({ tls = {}, user, password_file: password }: EtcdInput, issues: ConfigIssue[]): void {
  const pairs = [
    [['tls', 'key'], tls.certificate, tls.key],
    [['tls', 'certificate'], tls.key, tls.certificate],
    [['password_file'], user, password],
    [['user'], password, user],
  ] as const;
  for (const [field, one, other] of pairs) {
    if (one === undefined || other !== undefined) continue;
    const message = 'is missing: certificate and key, user and password_file go together';
    issues.push({ path: ['store', 'etcd', ...field], rule: 'missing', message });
  }
}
