/** Lets waits for a process end when it stops answering. */
export class Silence {
  readonly #told = new Set<() => void>();
  #isSilent = false;

  begin(): void {
    this.#isSilent = true;
    for (const tell of this.#told) tell();
  }

  end(): void {
    this.#isSilent = false;
  }

  /** Resolves with `done`, or with nothing when the process does not answer. */
  async unless<T>(done: Promise<T>): Promise<T | undefined> {
    let silent = (): void => undefined;
    const silence = new Promise<undefined>((resolve) => {
      silent = () => resolve(undefined);
      if (this.#isSilent) silent();
    });
    this.#told.add(silent);
    try {
      return await Promise.race([done, silence]);
    } finally {
      this.#told.delete(silent);
    }
  }
}

/** Resolves with `done`, or with nothing after `ms` milliseconds. */
export async function within<T>(ms: number, done: Promise<T>): Promise<T | undefined> {
  const late = new AbortController();
  const patience = sleep(ms, late.signal).then(() => undefined);
  try {
    return await Promise.race([done, patience]);
  } finally {
    late.abort();
  }
}

/** Resolves with `done`, or with nothing when the signal is aborted. */
export async function unlessAborted<T>(signal: AbortSignal, done: Promise<T>): Promise<T | undefined> {
  let end = (): void => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
  });
  try {
    return await Promise.race([done, aborted]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** Resolves after `ms` milliseconds, or when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
  });
}
