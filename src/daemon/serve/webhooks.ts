import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { EventHub } from '../../telemetry/events/event-hub.js';
import type { Logger } from '../../telemetry/log.js';
import { Webhook, type WebhookConfig, type WebhookDeps } from './webhook.js';
import { postEvent } from './webhook-post.js';

/** All webhooks of a server. */
export class Webhooks {
  readonly #deps: WebhookDeps;
  #running: Webhook[] = [];

  /** @param deps in place of the network and the clock, for tests */
  constructor(hub: EventHub, logger: Logger, deps: Partial<WebhookDeps> = {}) {
    this.#deps = {
      ...{ hub, logger, post: postEvent, pause, now: Date.now, random: Math.random },
      ...deps,
    };
  }

  /** Goes over to these. One that is not changed goes on where it is. */
  configure(configs: readonly WebhookConfig[]): void {
    const before = [...this.#running];
    this.#running = configs.map((config) => {
      const at = before.findIndex((one) => isDeepStrictEqual(one.config, config));
      return at < 0 ? new Webhook(config, this.#deps) : before.splice(at, 1)[0]!;
    });
    for (const gone of before) void gone.end();
  }

  /** Ends all of them. Resolves when no attempt is under way. */
  async end(): Promise<void> {
    const ending = this.#running;
    this.#running = [];
    await Promise.all(ending.map((webhook) => webhook.end()));
  }
}

/** Ends early, and never fails. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
