import type { Logger } from '../../telemetry/log.js';
import { ControlError } from '../control/protocol.js';
import type { CaptureReport, CaptureRequest } from './request.js';
import { CaptureSession, type CaptureSink, type CaptureSources } from './session.js';

/** Who asked for a capture, for the log. */
export interface CaptureClient {
  readonly uid: number | undefined;
  readonly pid: number | undefined;
}

/** The captures of a gateway: one at a time, each with a line in the log at its beginning and at its end. */
export class Captures {
  readonly #sources: CaptureSources;
  readonly #logger: Logger;
  #running: CaptureSession | undefined;

  constructor(sources: CaptureSources, logger: Logger) {
    this.#sources = sources;
    this.#logger = logger;
  }

  /**
   * Captures until the limits of the request, `stop`, or until its client is gone.
   * @param name of the connection
   * @throws ControlError refused, when a capture runs
   */
  async run(
    request: CaptureRequest,
    name: string,
    { client, gone, sink }: { client: CaptureClient; gone: AbortSignal; sink: CaptureSink },
  ): Promise<CaptureReport> {
    if (this.#running !== undefined) {
      throw new ControlError(
        'refused',
        'this gateway captures packets already, once at a time: wait for the end of that capture, or stop it with `culvert capture --stop`',
      );
    }
    const { seconds, bytes, inner, dropped, keys } = request;
    const session = new CaptureSession(request, `connection ${name}`, this.#sources, sink);
    this.#running = session;
    const about = { connection: name, ...client };
    const level = keys ? 'warn' : 'info';
    this.#logger[level](
      { ...about, seconds, bytes, inner, dropped, with_keys: keys },
      `a capture of ${name} begins, for ${seconds} s and ${bytes} octets at most${inner ? ', inner packets included' : ''}${keys ? '; the keys of its SAs are handed out' : ''}`,
    );
    const abandon = (): void => session.abandon();
    gone.addEventListener('abort', abandon, { once: true });
    if (gone.aborted) abandon();
    try {
      const report = await session.done;
      this.#logger.info(
        { ...about, ...report },
        `the capture of ${name} has ended: ${report.packets} packets, ${report.lost} lost`,
      );
      return report;
    } finally {
      gone.removeEventListener('abort', abandon);
      this.#running = undefined;
    }
  }

  /** Ends the capture that runs, in good order. False when there is none. */
  stop(): boolean {
    this.#running?.stop();
    return this.#running !== undefined;
  }

  /** Ends it at once: the packet path is going to be closed. */
  close(): void {
    this.#running?.abandon();
  }
}
