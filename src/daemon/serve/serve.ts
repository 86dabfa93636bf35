import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type ApiAuth, ApiServer } from '../../api/server.js';
import { KIND, SECRET_FIELDS } from '../../store/records.js';
import { createSealer, readSealingKey } from '../../store/sealing.js';
import { openSqliteStore } from '../../store/sqlite-store.js';
import type { Logger } from '../../telemetry/log.js';
import type { SignalSource } from '../lifecycle.js';
import { StartError } from '../start-error.js';
import { UndoStack } from '../undo.js';
import { ProcessRunner } from './process-runner.js';
import type { ServeFile } from './serve-file.js';

export interface ServeOptions {
  readonly file: ServeFile;
  /** Command line of this program, interpreter and script, to start gateways with. */
  readonly program: readonly string[];
  /** What gateways log at least. */
  readonly logLevel: string;
  readonly logFormat: 'auto' | 'text' | 'json';
  readonly logger: Logger;
}

/** A running control plane. */
export interface ControlPlane {
  /** Where the API is served. */
  readonly url: string | undefined;
  readonly socket: string;
  /** Stops every gateway, then the server. Safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Opens the store, finds gateways that a server before this one has left running, brings up what is stored, and
 * serves the API. All or nothing.
 * @throws StartError, StoreError, ListenError: each with its remedy
 */
export async function startControlPlane(options: ServeOptions): Promise<ControlPlane> {
  const undo = new UndoStack();
  try {
    return await bringUp(options, undo);
  } catch (error) {
    await undo.run(options.logger);
    throw error;
  }
}

async function bringUp({ file, logger, ...processes }: ServeOptions, undo: UndoStack) {
  const { site, socket } = file;
  mkdirSync(dirname(file.store), { recursive: true, mode: 0o700 });
  mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
  const store = openSqliteStore({
    path: file.store,
    secretFields: SECRET_FIELDS,
    ...(file.sealingKeyFile === undefined
      ? {}
      : { sealer: createSealer(readSealingKey(file.sealingKeyFile)) }),
  });
  undo.push('the store', () => store.close());
  const { runFolder: folder, orphanSeconds } = file;
  const runner = new ProcessRunner({ folder, orphanSeconds, logger, ...processes });
  undo.push('the gateways', () => runner.close());
  const snapshot = await store.snapshot();
  await runner.sweep(new Set(snapshot.list(KIND.gateway).map(({ id }) => id)));
  const tls = readTls(file);
  const api = await ApiServer.create({
    ...{ store, runner, site, logger, auth: authOf(file), trustProxy: file.trustProxy },
    ...(tls === undefined ? {} : { tls }),
  });
  undo.push('the API server', () => api.stop());
  const url = await api.listen({
    ...(file.listen === undefined ? {} : { tcp: file.listen }),
    socketPath: socket,
    plainHttp: file.plainHttp,
  });
  logger.info(
    { url, socket },
    `the API is served at ${url === undefined ? '' : `${url} and `}unix:${socket}`,
  );
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= undo.run(logger);
    return stopping;
  };
  return { url, socket, stop };
}

function authOf({ auth, tokens, apiKeys, signingKeyFile, store }: ServeFile): ApiAuth {
  if (auth === 'none') return { mode: 'none' };
  const signingKey = readSealingKey(signingKeyFile ?? ownSigningKey(`${store}.signing-key`));
  return { mode: 'tokens', tokens, apiKeys, signingKey };
}

/** A key of the server's own beside the store, made when it is not there: tokens outlive a restart. */
function ownSigningKey(path: string): string {
  try {
    writeFileSync(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new StartError(message, 'name a file with "signing_key_file"');
  }
  return path;
}

function readTls({ tls }: ServeFile): { readonly cert: Buffer; readonly key: Buffer } | undefined {
  if (tls === undefined) return undefined;
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new StartError(`the TLS file ${path} cannot be read (${code})`, 'correct "tls" and its rights');
    }
  };
  return { cert: read(tls.certificate), key: read(tls.key) };
}

/** Serves until SIGTERM or SIGINT; a second one ends the process at once, and its gateways live on for a while. */
export async function runControlPlane(
  options: ServeOptions,
  started: (plane: ControlPlane) => void,
  signals: SignalSource = process,
): Promise<void> {
  let end: () => void = () => undefined;
  const told = new Promise<void>((resolve) => {
    end = resolve;
  });
  let signalled = false;
  const onSignal = (): void => {
    if (signalled) process.exit(130);
    signalled = true;
    end();
  };
  const onHangUp = (): void =>
    options.logger.warn('SIGHUP: changes of the file need a restart of the server');
  signals.on('SIGTERM', onSignal);
  signals.on('SIGINT', onSignal);
  signals.on('SIGHUP', onHangUp);
  try {
    const plane = await startControlPlane(options);
    started(plane);
    await told;
    options.logger.info('ending: stopping the gateways');
    await plane.stop();
    options.logger.info('the server has ended');
  } finally {
    signals.removeListener('SIGTERM', onSignal);
    signals.removeListener('SIGINT', onSignal);
    signals.removeListener('SIGHUP', onHangUp);
  }
}
