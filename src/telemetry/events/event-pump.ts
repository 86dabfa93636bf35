import type { Writable } from 'node:stream';
import type { EventHub, EventSubscription, StreamedEvent, SubscribeOptions } from './event-hub.js';

/** What is sent to whom. */
export interface PumpOptions extends Omit<SubscribeOptions, 'wake'> {
  /** An event as the receiver gets it. */
  frame(event: StreamedEvent): string;
  /** Goes on with what comes; else `drained` is called when all that there is has been sent. */
  readonly follow: boolean;
  drained?(): void;
}

/**
 * Sends events of a hub into a stream at the pace at which it is read: what a slow reader has not read yet waits in the
 * hub, where later events may overwrite it, and nowhere else.
 */
export class EventPump {
  readonly #stream: Writable;
  readonly #options: PumpOptions;
  readonly #subscription: EventSubscription;
  #scheduled: NodeJS.Immediate | undefined;
  #blockedSince: number | undefined;
  #closed = false;

  constructor(hub: EventHub, stream: Writable, options: PumpOptions) {
    this.#stream = stream;
    this.#options = options;
    const { filter, from } = options;
    this.#subscription = hub.subscribe({ filter, from, wake: () => this.#schedule() });
    stream.on('drain', this.#resume);
    this.#schedule();
  }

  /** The id to go on after. */
  get position(): string {
    return this.#subscription.position;
  }

  /** Since when the reader has not read, by `performance.now`; undefined when it keeps up. */
  get blockedSince(): number | undefined {
    return this.#blockedSince;
  }

  /** Sends nothing any more. The stream is left as it is. */
  close(): void {
    this.#closed = true;
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
    this.#stream.off('drain', this.#resume);
    this.#subscription.close();
  }

  readonly #resume = (): void => {
    this.#blockedSince = undefined;
    this.#send();
  };

  /** Events that come together are sent together. */
  #schedule(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#send();
    });
  }

  #send(): void {
    if (this.#closed || this.#blockedSince !== undefined) return;
    this.#stream.cork();
    let event = this.#subscription.next();
    while (event !== undefined) {
      if (!this.#stream.write(this.#options.frame(event))) {
        this.#blockedSince = performance.now();
        break;
      }
      event = this.#subscription.next();
    }
    this.#stream.uncork();
    if (event !== undefined || this.#options.follow) return;
    this.close();
    this.#options.drained?.();
  }
}
