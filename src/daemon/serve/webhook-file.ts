import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isLoopbackHost } from '../../api/listeners.js';
import type { ConfigIssue, ConfigPath } from '../../store/config-error.js';
import type { EventFilter } from '../../telemetry/events/event-filter.js';
import { EVENT_KINDS } from '../../telemetry/events/kinds.js';
import * as Type from '../../util/json-schema.js';
import { err, ok, type Result } from '../../util/result.js';
import type { WebhookConfig } from './webhook.js';

const MAX_WEBHOOKS = 16;
/** Names or kinds that one chooses. */
const MAX_CHOSEN = 100;
/** Characters of the shortest secret. */
const MIN_SECRET = 16;
const MAX_URL = 2048;

const Path = Type.String({ minLength: 1, maxLength: 1024, description: 'the path of a file' });
const chosen = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 255, description }), {
      minItems: 1,
      maxItems: MAX_CHOSEN,
    }),
  );

const WebhookSchema = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][-A-Za-z0-9_.]{0,62}$',
      description: 'a name for log and events: letters, digits, hyphens, dots',
    }),
    // Both may be secret: their lengths are checked below, where values are not repeated.
    url: Type.String({ description: 'where events are sent to, an https URL' }),
    secret: Type.Optional(Type.String()),
    secret_file: Type.Optional(Path),
    ca_file: Type.Optional(Path),
    plain_http: Type.Optional(Type.Boolean()),
    kinds: Type.Optional(
      Type.Array(Type.Enum([...EVENT_KINDS]), { minItems: 1, maxItems: MAX_CHOSEN, uniqueItems: true }),
    ),
    gateways: chosen('the name or id of a gateway'),
    connections: chosen('the name or id of a connection'),
    level: Type.Optional(Type.Enum(['info', 'warn'])),
  },
  { additionalProperties: false },
);

/** `webhooks` in the file of the server. */
export const WebhooksSchema = Type.Array(WebhookSchema, { maxItems: MAX_WEBHOOKS });

/** One entry of it. */
export type WebhookInput = Type.Static<typeof WebhookSchema>;

/** What reading an entry takes from the rest of the file's reader. */
export interface WebhookReader {
  readonly issues: ConfigIssue[];
  /** The absolute form of a path in the file. */
  absolute(path: string): string;
  /** A line of a file that no other user may read; else the end of a sentence that begins with its name. */
  readSecret(path: string): Result<string, string>;
}

/** The webhooks of the file; what is wrong with one becomes an issue. */
export function readWebhooks(inputs: readonly WebhookInput[], reader: WebhookReader): WebhookConfig[] {
  const names = inputs.map(({ name }) => name);
  return inputs.flatMap((input, index) => {
    const path = ['webhooks', index];
    if (names.indexOf(input.name) !== index) {
      const message = `"${input.name}" is the name of webhooks[${names.indexOf(input.name)}] already`;
      reader.issues.push({ path: [...path, 'name'], message });
    }
    return readWebhook(input, path, reader) ?? [];
  });
}

function readWebhook(
  input: WebhookInput,
  path: ConfigPath,
  reader: WebhookReader,
): WebhookConfig | undefined {
  const { name, url, plain_http: plainHttp = false, ca_file: caFile } = input;
  const refuse = (field: string, message: string): undefined => {
    reader.issues.push({ path: field === '' ? path : [...path, field], message });
    return undefined;
  };
  const problem = urlProblem(url, plainHttp);
  if (problem !== undefined) return refuse('url', problem);
  const secret = readSecretOf(input, reader);
  if (!secret.ok) return refuse(secret.error.field, secret.error.message);
  const ca = caFile === undefined ? undefined : readCa(reader.absolute(caFile));
  if (ca?.ok === false) return refuse('ca_file', `"${caFile}" ${ca.error}`);
  return {
    ...{ name, url, secret: createSecretKey(secret.value, 'utf8'), filter: filterOf(input) },
    ...(ca?.ok === true ? { ca: ca.value } : {}),
  };
}

/** The address is not repeated: many of them contain a token. */
function urlProblem(text: string, plainHttp: boolean): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || text.length > MAX_URL || !/^https?:$/.test(url.protocol)) {
    return 'is no URL with http or https: write it as https://HOST/PATH';
  }
  if (url.username !== '' || url.password !== '') {
    return 'contains a user or a password: take them out, the receiver checks the signature';
  }
  if (url.protocol === 'https:' || plainHttp || isLoopbackHost(url.hostname)) return undefined;
  return 'would send events in the clear: use https, or set "plain_http: true" where the way there is protected';
}

function readSecretOf(
  { secret, secret_file: file }: WebhookInput,
  { absolute, readSecret }: WebhookReader,
): Result<string, { readonly field: string; readonly message: string }> {
  if (secret !== undefined && file === undefined) {
    if (secret.length >= MIN_SECRET) return ok(secret);
    return err({
      field: 'secret',
      message: `has fewer than ${MIN_SECRET} characters: openssl rand -hex 32 makes one`,
    });
  }
  if (secret !== undefined || file === undefined) {
    const message = 'needs either "secret" or "secret_file": openssl rand -hex 32 makes one';
    return err({ field: '', message });
  }
  const read = readSecret(absolute(file));
  return read.ok ? read : err({ field: 'secret_file', message: `"${file}" ${read.error}` });
}

function readCa(path: string): Result<string, string> {
  try {
    const text = readFileSync(path, 'utf8');
    return text.includes('-----BEGIN CERTIFICATE-----') ? ok(text) : err('holds no certificate in PEM form');
  } catch (error) {
    return err(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
  }
}

function filterOf({ kinds, gateways, connections, level }: WebhookInput): EventFilter {
  return {
    ...(kinds === undefined ? {} : { kinds }),
    ...(gateways === undefined ? {} : { gateways }),
    ...(connections === undefined ? {} : { connections }),
    ...(level === undefined ? {} : { level }),
  };
}
