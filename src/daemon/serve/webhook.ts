import { createHmac, type KeyObject } from 'node:crypto';
import type { EventFilter } from '../../telemetry/events/event-filter.js';
import type { EventHub, EventSubscription, StreamedEvent } from '../../telemetry/events/event-hub.js';
import { describeOperatorEvent } from '../../telemetry/events/operator-events.js';
import type { Logger } from '../../telemetry/log.js';
import { programVersion } from '../../telemetry/program.js';

/** Where events are sent to, as the file of the server names it. */
export interface WebhookConfig {
  /** For log and events: an address may contain a secret. */
  readonly name: string;
  readonly url: string;
  /** What signs the events; its octets are shown in no form. */
  readonly secret: KeyObject;
  /** Certificates to trust beside those of the system, PEM. */
  readonly ca?: string;
  readonly filter: EventFilter;
}

/** What became of one attempt to deliver. */
export type Delivery =
  | { readonly delivered: true }
  | {
      readonly delivered: false;
      /** A sentence without the address. */
      readonly why: string;
      /** `later`: there was no answer. `again`: it was refused for now. `never`: it would be refused again. */
      readonly retry: 'later' | 'again' | 'never';
    };

/** A request that delivers one event. */
export interface WebhookRequest {
  readonly url: string;
  readonly ca?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}

/** What a webhook works with. */
export interface WebhookDeps {
  readonly hub: EventHub;
  readonly logger: Logger;
  /** Never rejects. */
  post(request: WebhookRequest): Promise<Delivery>;
  /** Resolves after these milliseconds, or when the signal is aborted. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
}

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
/** Times that one event is refused before the next one is tried: the receiver may dislike this one only. */
const MAX_REFUSALS = 12;

/** The header that contains time and signature: `t=SECONDS,v1=HEXADECIMAL`. */
const SIGNATURE_HEADER = 'x-culvert-signature';

/** HMAC-SHA-256 (RFC 2104) over `SECONDS.BODY`, in hexadecimal. */
function signatureOf(secret: KeyObject, seconds: number, body: string): string {
  return createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
}

/**
 * Delivers events to one receiver, one after the other and in their order. It keeps nothing but its place in the hub:
 * what is overwritten while the receiver is away is one event of the kind `gap`.
 */
export class Webhook {
  readonly config: WebhookConfig;
  readonly #deps: WebhookDeps;
  readonly #ended = new AbortController();
  readonly #subscription: EventSubscription;
  #wake: () => void = () => undefined;
  /** Attempts that failed in a row. */
  #failures = 0;
  /** Events that were given up since the receiver took one. */
  #dropped = 0;
  readonly #done: Promise<void>;

  constructor(config: WebhookConfig, deps: WebhookDeps) {
    this.config = config;
    this.#deps = deps;
    this.#subscription = deps.hub.subscribe({
      filter: config.filter,
      from: 'now',
      wake: () => this.#wake(),
    });
    this.#done = this.#run();
  }

  /** Delivers nothing any more. Resolves when no attempt is under way. */
  async end(): Promise<void> {
    this.#ended.abort();
    this.#wake();
    this.#subscription.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const event = this.#subscription.next();
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else {
        await this.#deliver(event);
      }
    }
  }

  async #deliver(event: StreamedEvent): Promise<void> {
    const { signal } = this.#ended;
    let refusals = 0;
    while (!signal.aborted) {
      if (this.#failures > 0) await this.#deps.pause(this.#wait(), signal);
      if (signal.aborted) return;
      const delivery = await this.#attempt(event);
      if (signal.aborted) return;
      if (delivery.delivered) {
        this.#succeeded();
        return;
      }
      this.#failed(delivery.why);
      if (delivery.retry === 'again') refusals++;
      if (delivery.retry === 'never' || refusals >= MAX_REFUSALS) {
        this.#dropped++;
        const { name } = this.config;
        this.#deps.logger.warn(
          { webhook: name, event_id: event.id },
          `webhook ${name}: an event is given up`,
        );
        return;
      }
    }
  }

  #attempt({ id, kind, text }: StreamedEvent): Promise<Delivery> {
    const { url, ca, secret } = this.config;
    // Of each attempt, so that a receiver may refuse what is old.
    const seconds = Math.floor(this.#deps.now() / 1000);
    const headers = {
      'content-type': 'application/json',
      'user-agent': `culvert/${programVersion}`,
      'x-culvert-event': kind,
      'x-culvert-event-id': id,
      [SIGNATURE_HEADER]: `t=${seconds},v1=${signatureOf(secret, seconds, text)}`,
    };
    const { signal } = this.#ended;
    return this.#deps.post({ url, headers, body: text, signal, ...(ca === undefined ? {} : { ca }) });
  }

  /** Milliseconds until the next attempt: with some chance in it, so that receivers are not met all at once. */
  #wait(): number {
    const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    return pause * (0.75 + this.#deps.random() / 2);
  }

  #failed(why: string): void {
    if (this.#failures++ > 0) return;
    const { name } = this.config;
    this.#deps.logger.warn({ webhook: name }, `webhook ${name} fails: ${why}; it is tried again`);
    this.#deps.hub.publish(describeOperatorEvent({ kind: 'webhook-failing', webhook: name, why }));
  }

  #succeeded(): void {
    if (this.#failures === 0) return;
    const { name } = this.config;
    const dropped = this.#dropped;
    this.#failures = this.#dropped = 0;
    this.#deps.logger.info({ webhook: name, dropped }, `webhook ${name} takes events again`);
    this.#deps.hub.publish(describeOperatorEvent({ kind: 'webhook-recovered', webhook: name, dropped }));
  }
}
