import { readFileSync } from 'node:fs';
import type { Options } from 'yargs';
import { ANSWER_SECONDS, timeoutOption } from '../command.js';
import { CliError, messageOf } from '../errors.js';
import { ApiClient, readEndpoint } from './api-client.js';

const DEFAULT_ENDPOINT = 'unix:/run/culvert/api.sock';

/** Options of every command that talks to the API server. */
export const apiOptions = {
  endpoint: {
    type: 'string',
    requiresArg: true,
    describe: `Where the API is served: a URL or unix:PATH. Else CULVERT_ENDPOINT, else ${DEFAULT_ENDPOINT}`,
  },
  'token-file': {
    type: 'string',
    requiresArg: true,
    describe: 'File with the token. Else CULVERT_TOKEN_FILE, CULVERT_TOKEN or CULVERT_API_KEY',
  },
  'ca-file': {
    type: 'string',
    requiresArg: true,
    describe: 'Certificate (PEM) to trust with https. Else CULVERT_CA_FILE',
  },
  timeout: timeoutOption,
} as const satisfies Record<string, Options>;

/** The options by which a command finds the API and authenticates there. */
export interface ApiArguments {
  readonly endpoint?: string | undefined;
  readonly 'token-file'?: string | undefined;
  readonly 'ca-file'?: string | undefined;
  readonly timeout?: number | undefined;
}

/** The server that options and environment name. @throws CliError */
export function connectApi(args: ApiArguments, env: NodeJS.ProcessEnv = process.env): ApiClient {
  const endpoint = readEndpoint(args.endpoint ?? env.CULVERT_ENDPOINT ?? DEFAULT_ENDPOINT);
  const tokenFile = args['token-file'] ?? env.CULVERT_TOKEN_FILE;
  const token = tokenFile === undefined ? env.CULVERT_TOKEN : readLine(tokenFile);
  const apiKey = env.CULVERT_API_KEY;
  const caFile = args['ca-file'] ?? env.CULVERT_CA_FILE;
  return new ApiClient({
    endpoint,
    seconds: args.timeout ?? ANSWER_SECONDS,
    ...(token === undefined ? {} : { token: token.replace(/^Bearer +/i, '') }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(caFile === undefined ? {} : { caFile }),
  });
}

/** The first line of a file. @throws CliError */
export function readLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').split(/\r?\n/, 1)[0]!;
  } catch (error) {
    throw new CliError(`the file ${path} cannot be read: ${messageOf(error)}`);
  }
}
