import { type Gateway, startGateway } from '../gateway/gateway.js';
import type { AfterStop, GatewayOptions } from '../gateway/gateway-options.js';
import { rereadFile } from '../gateway/reread-file.js';
import { oneLine } from '../start-error.js';

export interface DaemonOptions extends Omit<GatewayOptions, 'onStopRequest'> {
  /** Where signals come from; the process unless given. */
  readonly signals?: SignalSource;
  /** Ends the process at once; `process.exit` unless given. */
  readonly exit?: (code: number) => void;
  /** Called when the gateway runs. */
  readonly started?: (gateway: Gateway) => void;
}

export type DaemonSignal = 'SIGTERM' | 'SIGINT' | 'SIGUSR2' | 'SIGHUP';

/** The part of `process` that delivers signals. */
export interface SignalSource {
  on(signal: DaemonSignal, listener: () => void): unknown;
  removeListener(signal: DaemonSignal, listener: () => void): unknown;
}

/** Exit code of a process that a second signal ends in the middle of its farewell. */
const EXIT_IMPATIENT = 130;

/**
 * Runs a gateway until it is told to end: by SIGTERM or SIGINT, by SIGUSR2 for a restart, by a client of the control
 * socket, or because its data plane failed. Only the end that an operator asks for opens the peers' networks again;
 * before a restart, and after a failure, they stay unreachable. A second signal ends the process at once.
 * @returns the exit code: 0 after a clean end, 1 when it could not start or go on; the log has one line why
 */
export async function runDaemon(options: DaemonOptions): Promise<0 | 1> {
  const { logger } = options;
  const signals = options.signals ?? process;
  const exit = options.exit ?? ((code) => process.exit(code));
  let end: (how: AfterStop) => void = () => undefined;
  const told = new Promise<AfterStop>((resolve) => {
    end = resolve;
  });
  let signalled = false;
  const onSignal = (how: AfterStop): void => {
    if (signalled) exit(EXIT_IMPATIENT);
    signalled = true;
    end(how);
  };
  const onStop = (): void => onSignal('open');
  const onRestart = (): void => onSignal('closed');
  let running: Gateway | undefined;
  // Its default would end the process in the middle, with nothing undone.
  const onHangUp = (): void => {
    if (running === undefined) logger.warn('SIGHUP while starting: the file is being read already');
    else if (!signalled) running.reload();
  };
  signals.on('SIGTERM', onStop);
  signals.on('SIGINT', onStop);
  signals.on('SIGUSR2', onRestart);
  signals.on('SIGHUP', onHangUp);
  try {
    let gateway: Gateway;
    try {
      gateway = await startGateway({
        reread: () => rereadFile(options.file.source),
        ...options,
        onStopRequest: () => end('open'),
      });
    } catch (error) {
      logger.fatal(oneLine(error));
      return 1;
    }
    running = gateway;
    options.started?.(gateway);
    const how = await Promise.race([told, gateway.failed.then(() => undefined)]);
    if (how !== undefined) logger.info('ending: deleting the SAs at the peers');
    await gateway.stop(how ?? 'closed');
    return how === undefined ? 1 : 0;
  } finally {
    signals.removeListener('SIGTERM', onStop);
    signals.removeListener('SIGINT', onStop);
    signals.removeListener('SIGUSR2', onRestart);
    signals.removeListener('SIGHUP', onHangUp);
  }
}
