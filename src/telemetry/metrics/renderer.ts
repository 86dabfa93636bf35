import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Exposition } from './exposition.js';

/** An exposition to be written. `json` is a `MetricsDocument`. */
export interface RenderOrder {
  readonly id: number;
  readonly json: string;
  readonly form: Exposition;
  readonly gzip: boolean;
}

/** It is written, or why not. */
export type RenderAnswer = { readonly id: number } & (
  | { readonly body: Uint8Array }
  | { readonly error: string }
);

interface Waiting {
  resolve(body: Uint8Array): void;
  reject(error: Error): void;
}

/** Heap of the thread at most, in MiB: a text of 10,000 child SAs takes some 200. */
const HEAP_MEGABYTES = 1024;

/**
 * Writes expositions in a thread of its own, which is made when the first is asked for: text of a hundred thousand
 * series takes longer than IKE may wait.
 */
export class MetricsRenderer {
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | undefined;
  #next = 1;

  /** @throws Error when the thread fails; the next call makes another one */
  render(json: string, form: Exposition, gzip: boolean): Promise<Uint8Array> {
    const id = this.#next++;
    const thread = this.#ready();
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      thread.postMessage({ id, json, form, gzip } satisfies RenderOrder);
    });
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
  }

  #ready(): Worker {
    if (this.#thread !== undefined) return this.#thread;
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MEGABYTES };
    const thread = new Worker(entry(), { name: 'culvert metrics', resourceLimits });
    thread.unref();
    thread.on('message', (answer: RenderAnswer) => this.#answered(answer));
    thread.on('error', (error) => this.#ended(error));
    thread.once('exit', () => this.#ended(new Error('the thread that writes metrics has ended')));
    this.#thread = thread;
    return thread;
  }

  #answered(answer: RenderAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('body' in answer) waiting?.resolve(answer.body);
    else waiting?.reject(new Error(answer.error));
  }

  #ended(error: Error): void {
    this.#thread = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** The compiled entry; when this file runs uncompiled under a loader, its source. */
function entry(): URL {
  const compiled = new URL('./render-thread.js', import.meta.url);
  return existsSync(fileURLToPath(compiled)) ? compiled : new URL('./render-thread.ts', import.meta.url);
}
