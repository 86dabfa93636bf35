/** Signals that the daemon handles: SIGHUP reloads, SIGUSR2 leaves networks closed or open, the others stop it. */
export type DaemonSignal = 'SIGTERM' | 'SIGINT' | 'SIGUSR2' | 'SIGHUP';

/** The part of `process` that delivers signals. */
export interface SignalSource {
  on(signal: DaemonSignal, listener: () => void): unknown;
  removeListener(signal: DaemonSignal, listener: () => void): unknown;
}

/** Handles signals as long as `run` runs; afterwards they do what they do by default. */
export async function withSignals<T>(
  source: SignalSource,
  handlers: Readonly<Partial<Record<DaemonSignal, () => void>>>,
  run: () => Promise<T>,
): Promise<T> {
  const listeners = Object.entries(handlers) as [DaemonSignal, () => void][];
  for (const [signal, listener] of listeners) source.on(signal, listener);
  try {
    return await run();
  } finally {
    for (const [signal, listener] of listeners) source.removeListener(signal, listener);
  }
}

/** Exit code of a process that a second signal ends in the middle of its farewell. */
const EXIT_IMPATIENT = 130;

/** The end of a process on request: the first signal, or any other request, ends it in good order, a second signal at once. */
export class EndRequest<How> {
  /** Resolves with how it is to end. */
  readonly asked: Promise<How>;
  readonly #exit: (code: number) => void;
  #ask: (how: How) => void = () => undefined;
  #signalled = false;

  constructor(exit: (code: number) => void = (code) => process.exit(code)) {
    this.#exit = exit;
    this.asked = new Promise((resolve) => {
      this.#ask = resolve;
    });
  }

  /** Whether a signal has asked. */
  get signalled(): boolean {
    return this.#signalled;
  }

  /** Asks in good order. Only the first to ask counts. */
  ask(how: How): void {
    this.#ask(how);
  }

  /** A signal asks. */
  signal(how: How): void {
    if (this.#signalled) this.#exit(EXIT_IMPATIENT);
    this.#signalled = true;
    this.#ask(how);
  }
}
