import { dirname, resolve } from 'node:path';
import { type Credential, HASH_PATTERN, hashSecret } from '../../api/auth/credentials.js';
import { readListener, type TcpListener } from '../../api/listeners.js';
import type { ConfigError, ConfigIssue, ConfigPath } from '../../store/config-error.js';
import { SchemaCheck } from '../../store/schema-check.js';
import { readSecretFile } from '../../store/secret-file.js';
import { readSite, SITE_FIELDS, type Site } from '../../store/site.js';
import { readYaml } from '../../store/yaml-source.js';
import { LOG_LEVELS, type LogLevel } from '../../telemetry/log-levels.js';
import { parseCidr, parseIp } from '../../util/ip.js';
import * as Type from '../../util/json-schema.js';
import { err, ok, type Result } from '../../util/result.js';
import { isLocalPlace, type MetricsPlace, readMetricsPlace } from '../metrics/place.js';
import { RUN_FOLDER } from './run-folder.js';
import { readStorePlace, type StorePlace, StorePlaceSchema } from './store-place.js';
import type { WebhookConfig } from './webhook.js';
import { readWebhooks, WebhooksSchema } from './webhook-file.js';

/** The configuration of `culvert serve`, with its defaults. Paths are absolute. */
export interface ServeFile {
  readonly site: Site;
  /** Absent: the Unix socket only. */
  readonly listen?: TcpListener;
  readonly socket: string;
  /** Tokens may cross a network in the clear. */
  readonly plainHttp: boolean;
  /** Proxies whose X-Forwarded-For counts, by address or network. */
  readonly trustProxy: readonly string[];
  readonly tls?: { readonly certificate: string; readonly key: string };
  readonly auth: 'tokens' | 'none';
  readonly tokens: readonly Credential[];
  readonly apiKeys: readonly Credential[];
  /** File with the key that signs the tokens for API keys; one beside the store when left out. */
  readonly signingKeyFile?: string;
  readonly store: StorePlace;
  /** File with the key that seals pre-shared keys in the store. */
  readonly sealingKeyFile?: string;
  /** Folder of the control sockets of gateways. */
  readonly runFolder: string;
  /** How long gateways live on without a server. */
  readonly orphanSeconds: number;
  /** Whether gateways in policy mode have a standby. */
  readonly standby: boolean;
  /** What becomes of the gateways when the server is asked to end. */
  readonly onStop: 'stop' | 'keep';
  /** Where metrics are served; absent: nowhere. */
  readonly metrics?: MetricsSettings;
  /** Of who may read them. */
  readonly metricsTokens: readonly Credential[];
  /** What server and gateways log at least, unless the command line says so. */
  readonly logLevel?: LogLevel;
  readonly webhooks: readonly WebhookConfig[];
  /** Whether the web console is served. */
  readonly console: boolean;
}

/** Where metrics are served, and whether that takes a token. */
export interface MetricsSettings {
  readonly place: MetricsPlace;
  readonly auth: 'tokens' | 'none';
}

const SERVE_DEFAULTS = {
  socket: '/run/culvert/api.sock',
  store: '/var/lib/culvert/store.db',
  runFolder: RUN_FOLDER,
  orphanSeconds: 60,
  /** With `on_stop: keep`: time for an upgrade of the machine's packages. */
  keptSeconds: 3600,
} as const;

const closed = { additionalProperties: false } as const;

const Path = Type.String({ minLength: 1, maxLength: 1024, description: 'the path of a file' });
const SecretFields = {
  hash: Type.Optional(
    Type.String({ pattern: HASH_PATTERN, description: '"sha256:…" as "culvert token" prints it' }),
  ),
  file: Type.Optional(Path),
};
const HolderName = Type.String({
  pattern: '^[A-Za-z0-9][-A-Za-z0-9_.@]{0,62}$',
  description: 'who holds it: letters, digits, hyphens, dots and @, for the audit log',
});
const CredentialSchema = Type.Object(
  { name: HolderName, role: Type.Enum(['viewer', 'editor']), ...SecretFields },
  closed,
);
const MetricsSchema = Type.Object(
  {
    listen: Type.String({
      minLength: 1,
      maxLength: 1024,
      description: 'address and port, for example 127.0.0.1:9464, or the path of a Unix socket',
    }),
    auth: Type.Optional(Type.Enum(['tokens', 'none'])),
    tokens: Type.Optional(Type.Array(Type.Object({ name: HolderName, ...SecretFields }, closed))),
  },
  closed,
);
type CredentialInput = Type.Static<typeof CredentialSchema>;
type MetricsInput = Type.Static<typeof MetricsSchema>;

const { vpcs, subnets, ...around } = SITE_FIELDS;

const ServeFileSchema = Type.Object(
  {
    listen: Type.Optional(
      Type.String({ description: 'address and port of the API, for example 127.0.0.1:8080 or [::1]:8080' }),
    ),
    socket: Type.Optional(Path),
    plain_http: Type.Optional(Type.Boolean()),
    trust_proxy: Type.Optional(
      Type.Array(Type.String({ description: 'an IP address, or a network as address/prefix' })),
    ),
    tls: Type.Optional(Type.Object({ certificate: Path, key: Path }, closed)),
    auth: Type.Optional(Type.Enum(['tokens', 'none'])),
    tokens: Type.Optional(Type.Array(CredentialSchema)),
    api_keys: Type.Optional(Type.Array(CredentialSchema)),
    signing_key_file: Type.Optional(Path),
    store: Type.Optional(Path),
    sealing_key_file: Type.Optional(Path),
    run_folder: Type.Optional(Path),
    orphan_seconds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 86_400, description: 'seconds, from 1 to 86400' }),
    ),
    standby: Type.Optional(Type.Boolean()),
    on_stop: Type.Optional(Type.Enum(['stop', 'keep'])),
    log_level: Type.Optional(Type.Enum(LOG_LEVELS)),
    metrics: Type.Optional(MetricsSchema),
    webhooks: Type.Optional(WebhooksSchema),
    console: Type.Optional(Type.Boolean()),
    ...around,
    vpcs,
    subnets,
  },
  closed,
);
/** The same, where `store` is no file. */
const ElsewhereSchema = Type.Object(
  { ...ServeFileSchema.properties, store: Type.Optional(StorePlaceSchema) },
  closed,
);
type ServeInput = Type.Static<typeof ServeFileSchema | typeof ElsewhereSchema>;

const checks = { file: new SchemaCheck(ServeFileSchema), elsewhere: new SchemaCheck(ElsewhereSchema) };

/**
 * Reads the configuration of the server. Paths in it are relative to the folder of `source`; files that hold a token
 * are read at once, and only its hash is kept.
 */
export function readServeFile(text: string, source: string): Result<ServeFile, ConfigError[]> {
  const yaml = readYaml(text);
  if (!yaml.ok) return yaml;
  const { value, locate } = yaml.value;
  if (value === null || value === undefined) {
    return err([{ path: '', message: 'the file is empty: "vpcs" and "subnets" are needed at least' }]);
  }
  const isElsewhere = typeof (value as { readonly store?: unknown }).store === 'object';
  const check = checks[isElsewhere ? 'elsewhere' : 'file'];
  const input = check.withoutNulls(value) as ServeInput;
  const issues = check.issues(input);
  const file = issues.length === 0 ? readValid(input, source, issues) : undefined;
  if (file !== undefined && issues.length === 0) return ok(file);
  const errors = issues.map(locate);
  return err(errors.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)));
}

function readValid(input: ServeInput, source: string, issues: ConfigIssue[]): ServeFile | undefined {
  const folder = dirname(source);
  const path = (text: string): string => resolve(folder, text);
  const { listen, socket, tls, auth, tokens = [], api_keys: apiKeys = [], store, ...rest } = input;
  const { signing_key_file: signing, sealing_key_file: sealing, ...others } = rest;
  const { run_folder: runFolder, orphan_seconds: seconds, ...listening } = others;
  const { plain_http: plainHttp = false, trust_proxy: trustProxy = [], ...running } = listening;
  const { standby = true, on_stop: onStop = 'stop', log_level: logLevel, metrics, ...further } = running;
  const { webhooks = [], console = true, ...siteInput } = further;
  checkProxies(trustProxy, issues);
  const site = readSite(siteInput);
  if (!site.ok) {
    issues.push(...site.error);
    return undefined;
  }
  const listener = listen === undefined ? undefined : readListener(listen);
  if (listener?.ok === false) issues.push({ path: ['listen'], message: listener.error });
  const credentials = (list: ConfigPath, items: readonly CredentialInput[]): Credential[] => {
    checkUnique(list, items, issues);
    return items.flatMap((item, index) => readCredential(item, [...list, index], path, issues) ?? []);
  };
  const scraped = metrics && readMetrics(metrics, { safe: tls !== undefined || plainHttp, path }, issues);
  const readers = (metrics?.tokens ?? []).map((one) => ({ ...one, role: 'viewer' as const }));
  return {
    site: site.value,
    ...(listener?.ok === true ? { listen: listener.value } : {}),
    socket: path(socket ?? SERVE_DEFAULTS.socket),
    plainHttp,
    trustProxy,
    ...(tls === undefined ? {} : { tls: { certificate: path(tls.certificate), key: path(tls.key) } }),
    auth: auth ?? 'tokens',
    tokens: credentials(['tokens'], tokens),
    apiKeys: credentials(['api_keys'], apiKeys),
    ...(signing === undefined ? {} : { signingKeyFile: path(signing) }),
    store: readStorePlace(store ?? SERVE_DEFAULTS.store, { issues, path, keys: { signing, sealing } }),
    ...(sealing === undefined ? {} : { sealingKeyFile: path(sealing) }),
    runFolder: path(runFolder ?? SERVE_DEFAULTS.runFolder),
    orphanSeconds: seconds ?? SERVE_DEFAULTS[onStop === 'keep' ? 'keptSeconds' : 'orphanSeconds'],
    standby,
    onStop,
    webhooks: readWebhooks(webhooks, { issues, absolute: path, readSecret }),
    console,
    ...(logLevel === undefined ? {} : { logLevel }),
    ...(scraped === undefined ? {} : { metrics: scraped }),
    metricsTokens: credentials(['metrics', 'tokens'], readers),
  };
}

function checkProxies(proxies: readonly string[], issues: ConfigIssue[]): void {
  for (const [index, proxy] of proxies.entries()) {
    if (parseIp(proxy) !== undefined || parseCidr(proxy).ok) continue;
    const message = `"${proxy.slice(0, 60)}" is neither an IP address nor a network`;
    issues.push({ path: ['trust_proxy', index], message });
  }
}

/**
 * Who may read metrics, and whether their tokens may cross the way. A Unix socket is for root alone and takes none.
 * `safe`: the server speaks TLS, or is allowed not to.
 */
function readMetrics(
  { listen, auth, tokens = [] }: MetricsInput,
  { safe, path }: { readonly safe: boolean; readonly path: (text: string) => string },
  issues: ConfigIssue[],
): MetricsSettings | undefined {
  const read = readMetricsPlace(listen);
  if (!read.ok) {
    issues.push({ path: ['metrics', 'listen'], message: `${read.error}, or the path of a Unix socket` });
    return undefined;
  }
  if ('path' in read.value) return { place: { path: path(read.value.path) }, auth: 'none' };
  const wanted = auth ?? 'tokens';
  if (wanted === 'tokens' && tokens.length === 0) {
    const message = 'has no tokens: add some ("culvert token" prints one and its hash), or set "auth: none"';
    issues.push({ path: ['metrics'], message });
  }
  if (wanted === 'tokens' && !safe && !isLocalPlace(read.value)) {
    const message =
      'would take tokens in the clear: name certificate and key under "tls", listen on 127.0.0.1, or set "plain_http: true" where a proxy in front speaks TLS';
    issues.push({ path: ['metrics', 'listen'], message });
  }
  return { place: read.value, auth: wanted };
}

function checkUnique(list: ConfigPath, items: readonly CredentialInput[], issues: ConfigIssue[]): void {
  for (const [index, { name }] of items.entries()) {
    const first = items.findIndex((one) => one.name === name);
    if (first === index) continue;
    const message = `"${name}" is the name of ${list.join('.')}[${first}] already: the audit log could not tell them apart`;
    issues.push({ path: [...list, index, 'name'], message });
  }
}

function readCredential(
  { name, role, hash, file }: CredentialInput,
  path: ConfigPath,
  absolute: (text: string) => string,
  issues: ConfigIssue[],
): Credential | undefined {
  if (hash !== undefined && file === undefined) return { name, role, hash };
  if (hash !== undefined || file === undefined) {
    const message = 'needs either "hash" or "file": "culvert token" prints a token and its hash';
    issues.push({ path, rule: 'only_one', message });
    return undefined;
  }
  const secret = readSecret(absolute(file));
  if (secret.ok) return { name, role, hash: hashSecret(secret.value) };
  issues.push({ path: [...path, 'file'], message: `"${file}" ${secret.error}` });
  return undefined;
}

/** Octets of the longest token that is read from a file. */
const MAX_TOKEN_OCTETS = 4096;

/** One line of a file that no other user may read; the reason as text when it is not like that. */
function readSecret(path: string): Result<string, string> {
  const read = readSecretFile(path, MAX_TOKEN_OCTETS, 'a token');
  if (!read.ok) return read;
  const text = read.value.toString('utf8').trim();
  read.value.fill(0);
  return /^[!-~]{16,}$/.test(text) ? ok(text) : err('holds no secret of 16 characters or more in one line');
}
