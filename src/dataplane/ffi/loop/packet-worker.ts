import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type EventFd, openEventFd } from '../../../linux/eventfd.js';
import type { ThreadPulse } from '../../dataplane.js';
import { type Arena, createArena, MAX_CHILDREN } from '../memory/arena.js';
import { OrderWriter } from '../memory/control-ring.js';
import { Order } from '../memory/orders.js';
import type { WorkerMemory, WorkerReport, WorkerSetup } from './messages.js';

/** How long a worker may take to end before it is ended by force, in milliseconds. */
const STOP_MILLIS = 2000;

/**
 * Room for young objects in a worker's heap, in MiB. Packets make next to none; without a bound it would grow
 * while many SAs are installed, and stay.
 */
const YOUNG_MEGABYTES = 4;

/** An order on its way to a worker. */
export interface PendingOrder {
  readonly kind: number;
  readonly length: number;
  write(arena: Arena, at: number): void;
  /** Wipes what must not stay when the order is never carried out. */
  discard?(): void;
}

/** An order without a body. */
const NOTHING = { length: 0, write: (): void => undefined };

/** The work of a packet thread, and who hears from it. */
export interface PacketWorkerOptions {
  readonly setup: WorkerSetup;
  /** What the thread reports; room in its control ring is handled here. */
  report(report: WorkerReport): void;
  /** The thread ended unintentionally. */
  broke(reason: string): void;
}

/** Main's end of one packet thread: its memory, its eventfd, and the orders on their way to it. */
export class PacketWorker {
  readonly arena: Arena = createArena();
  readonly #orders = new OrderWriter(this.arena);
  readonly #wake: EventFd = openEventFd();
  /** Counter blocks that are free; taken from the front, given back at the end. */
  readonly #blocks: number[] = Array.from({ length: MAX_CHILDREN }, (_, i) => i + 1);
  /** Orders that found the ring full, oldest first. */
  readonly #pending: PendingOrder[] = [];
  #thread: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #started = false;
  /** It moves packets. */
  #ready = false;
  /** How much of the orders was written when it was asked for a sign of life. */
  #asked = 0;
  #stopping = false;
  #listener: Pick<PacketWorkerOptions, 'report' | 'broke'> | undefined;
  readonly #early: WorkerReport[] = [];
  #broken: string | undefined;

  get wakeFd(): number {
    return this.#wake.fd;
  }

  /** Child SAs it could still take. */
  get room(): number {
    return this.#blocks.length;
  }

  /**
   * Makes the thread, which loads its code and tries out its cryptography, and then waits for `start`. Nothing happens
   * when it is there already. `entry` is the thread's program in place of the usual one.
   */
  load(name: string, entry: URL = workerEntry()): void {
    if (this.#thread !== undefined) return;
    const workerData: WorkerMemory = {
      memory: this.arena.memory,
      vault: this.arena.vault.memory,
      wakeFd: this.wakeFd,
    };
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MEGABYTES };
    const thread = new Worker(entry, { workerData, name, resourceLimits });
    this.#thread = thread;
    thread.on('message', (message: WorkerReport) => {
      if (message.kind === 'ike') this.#orders.ikeHandled();
      if (message.kind === 'ready') this.#ready = true;
      if (message.kind === 'space') this.#pump();
      else this.#report(message);
    });
    thread.on('error', (error) => this.#break(`the packet thread broke: ${error.message}`));
    this.#exited = new Promise((resolve) => {
      thread.once('exit', (code) => {
        if (!this.#stopping) this.#break(`the packet thread ended (exit code ${code})`);
        resolve();
      });
    });
  }

  /** Gives the thread its work. `load` comes before. */
  start({ setup, report, broke }: PacketWorkerOptions): void {
    this.#listener = { report, broke };
    for (const message of this.#early.splice(0)) report(message);
    if (this.#broken !== undefined) broke(this.#broken);
    this.#started = true;
    this.#thread?.postMessage(setup);
  }

  /** What comes before anybody listens waits: the news of a thread that failed while it loaded. */
  #report(message: WorkerReport): void {
    if (this.#listener === undefined) this.#early.push(message);
    else this.#listener.report(message);
  }

  #break(reason: string): void {
    this.#broken ??= reason;
    this.#listener?.broke(reason);
  }

  /** @throws RangeError when there is none: see `room` */
  takeBlock(): number {
    const block = this.#blocks.shift();
    if (block === undefined) throw new RangeError('no counter block is free');
    return block;
  }

  returnBlock(block: number): void {
    this.#blocks.push(block);
  }

  /** Memory that an order is about, which follows: the thread takes it when it comes to the order. */
  post(memory: SharedArrayBuffer): void {
    this.#thread?.postMessage(memory);
  }

  /** Carried out in the order of the calls. */
  order(order: PendingOrder): void {
    this.#pending.push(order);
    this.#pump();
  }

  /** An order that is lost when the ring has no room for it now. */
  offer(order: PendingOrder): boolean {
    if (this.#pending.length > 0) return false;
    this.#pending.push(order);
    this.#pump();
    return this.#pending.pop() === undefined;
  }

  /** Asks for a sign of life. Returns what became of the question before. */
  pulse(): ThreadPulse {
    if (!this.#ready) return 'starting';
    if (!this.#orders.consumed(this.#asked)) return 'silent';
    // Orders that wait for room are as good a question.
    if (this.#pending.length === 0) this.order({ kind: Order.PULSE, ...NOTHING });
    this.#asked = this.#orders.written;
    return 'answers';
  }

  /** Moves what fits into the ring, in order. The rest goes when the worker reports space. */
  #pump(): void {
    let written = false;
    while (this.#pending.length > 0) {
      const order = this.#pending[0]!;
      if (!this.#orders.write(order.kind, order.length, (at) => order.write(this.arena, at))) break;
      this.#pending.shift();
      written = true;
    }
    if (written) this.#wake.signal();
  }

  /** Orders that wait are never carried out. */
  discardOrders(): void {
    for (const order of this.#pending.splice(0)) order.discard?.();
  }

  /** Orders the thread to end, also when the process is about to. */
  stop(): void {
    this.#stopping = true;
    // One that was given no work has not come to look at its orders.
    if (!this.#started) this.#thread?.postMessage(null);
    this.#orders.stop();
    this.#wake.signal();
  }

  /** Resolves when the thread has ended, by force if it does not by itself. `stop` comes before. */
  async ended(): Promise<void> {
    const late = setTimeout(() => {
      // It cannot interrupt a system call, but it ends a thread that is busy elsewhere.
      void this.#thread?.terminate();
      this.#wake.signal();
    }, STOP_MILLIS);
    await this.#exited;
    clearTimeout(late);
  }

  /** Wipes the memory and closes what was opened. Only after all threads have ended: others wake this one. */
  dispose(): void {
    this.discardOrders();
    this.arena.bytes.fill(0);
    this.arena.vault.bytes.fill(0);
    this.#wake.close();
  }
}

/** The compiled entry; when this file runs uncompiled under a loader, its source. */
function workerEntry(): URL {
  const compiled = new URL('./worker.js', import.meta.url);
  return existsSync(fileURLToPath(compiled)) ? compiled : new URL('./worker.ts', import.meta.url);
}
