import { request } from 'node:http';
import type { Pair } from '#culvert/cli/pair/pair.js';

const EVERY_MS = 1000;

/** Scrapes the metrics of both gateways of a pair every second and follows their events, until `stop`. */
export class Onlooker {
  readonly #timer: NodeJS.Timeout;
  #scrapes = 0;
  #stopped = false;
  #failure: string | undefined;

  private constructor(pair: Pair) {
    this.#timer = setInterval(() => {
      for (const { metricsPath } of pair.gateways) if (metricsPath !== undefined) this.#scrape(metricsPath);
    }, EVERY_MS);
  }

  static async start(pair: Pair): Promise<Onlooker> {
    for (const { control } of pair.gateways)
      await control.events({ follow: true, from: 'oldest' }, () => undefined);
    return new Onlooker(pair);
  }

  /** @throws Error when there was no scrape, or one that failed: then nothing was measured beside them */
  stop(): void {
    clearInterval(this.#timer);
    this.#stopped = true;
    if (this.#failure !== undefined) throw new Error(`a scrape failed: ${this.#failure}`);
    if (this.#scrapes === 0) throw new Error('there was no scrape');
  }

  #scrape(socketPath: string): void {
    const call = request({ socketPath, path: '/metrics' }, (response) => {
      let octets = 0;
      response.on('data', (part: Buffer) => {
        octets += part.length;
      });
      response.on('end', () => {
        if (response.statusCode === 200 && octets > 0) this.#scrapes++;
        else this.#failure ??= `status ${response.statusCode}, ${octets} octets`;
      });
    });
    // One that is under way at the end is cut off with its gateway.
    call.on('error', ({ message }) => {
      if (!this.#stopped) this.#failure ??= message;
    });
    call.end();
  }
}
