import type { PreparedWorkers } from '../../dataplane/ffi/loop/worker-group.js';
import type { TunDevice } from '../../linux/tun.js';
import type { GatewayFile } from '../../store/model.js';
import type { Logger } from '../../telemetry/log.js';
import { programVersion } from '../../telemetry/program.js';
import { oneLine } from '../../util/operator-error.js';
import type { AttachAnswer, Call, ConfigureAnswer, NamesAnswer } from '../control/methods.js';
import { ControlError } from '../control/protocol.js';
import { type ControlServer, listenControl } from '../control/server.js';
import type { CoreConfig } from '../core/config-in-force.js';
import { type Gateway, startGateway } from '../gateway/gateway.js';
import type { AfterStop } from '../gateway/gateway-options.js';
import { linuxFilter } from '../host/clear-guard.js';
import { linuxNetwork } from '../host/host-network.js';
import { openHost } from '../host/host-side.js';
import { type SignalSource, withSignals } from '../system/signals.js';
import { decodeDesired } from './desired-state.js';
import { addressMark, deviceMark, readDeviceMark, removeDeviceMark, writeDeviceMark } from './marks.js';
import { ensureAddress, removeMarked } from './own-address.js';
import { Standby } from './standby.js';

/** What a process starts with that a supervisor will configure. */
export interface SupervisedOptions {
  /** Path of the control socket, where the supervisor attaches and configures. */
  readonly control: string;
  /** Seconds without a supervisor after which it ends by itself. */
  readonly orphanSeconds: number;
  /** The control socket whose marks it shares with the process of another member; its own when left out. */
  readonly marks?: string;
  readonly logger: Logger;
  /** Packet threads that were made before the rest was loaded; those that the gateway does not take are closed. */
  readonly prepared?: PreparedWorkers;
  readonly signals?: SignalSource;
}

/** Takes away what a gateway that has ended has left in this network namespace. @throws LinuxError */
export function removeLeftovers(control: string): void {
  const mark = deviceMark(control);
  const device = readDeviceMark(mark);
  if (device !== undefined) openHost({ network: linuxNetwork, filter: linuxFilter }, device);
  removeDeviceMark(mark);
  removeMarked(addressMark(control));
}

/**
 * Runs a gateway that has no file: its supervisor connects to the control socket, attaches, and sends the desired
 * state. The tunnels outlive a supervisor that crashes and is started again; without one for too long the gateway
 * ends in good order, and its networks stay closed: no operator has asked for its end. SIGTERM ends it and opens them,
 * SIGUSR2 ends it for a restart and does not.
 * @returns the exit code
 */
export async function runSupervised(options: SupervisedOptions): Promise<0 | 1> {
  const supervised = new Supervised(options);
  const handlers = {
    SIGTERM: () => supervised.end(0, 'open'),
    SIGINT: () => supervised.end(0, 'open'),
    SIGUSR2: () => supervised.end(0, 'closed'),
    // There is no file to read again.
    SIGHUP: () => undefined,
  };
  return await withSignals(options.signals ?? process, handlers, () => supervised.run());
}

class Supervised {
  readonly #options: SupervisedOptions;
  readonly #ended: Promise<{ readonly code: 0 | 1; readonly how: AfterStop }>;
  #end: (end: { readonly code: 0 | 1; readonly how: AfterStop }) => void = () => undefined;
  #orphaned: NodeJS.Timeout | undefined;
  #supervisors = 0;
  /** The id of the newest event when the last supervisor left. */
  #reported: string | undefined;
  /** On its way out: nothing may keep the process alive. */
  #ending = false;
  #server: ControlServer | undefined;
  readonly #standby: Standby;
  /** The term in which it took over. */
  #term: number | undefined;
  #gateway: Gateway | undefined;
  /** It has changed the host, or tried to. */
  #hasBegun = false;
  /** Of the first configuration: those of later ones are the gateway's to wipe. */
  #first: CoreConfig | undefined;
  /** As it was handed over last. */
  #file: GatewayFile | undefined;
  #removeAddress: () => void = () => undefined;
  #configuring: Promise<unknown> = Promise.resolve();

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#standby = new Standby(options.logger);
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(code: 0 | 1, how: AfterStop): void {
    this.#end({ code, how });
  }

  async run(): Promise<0 | 1> {
    const { control, logger, marks = control } = this.#options;
    try {
      this.#server = await listenControl(control, logger, {
        attach: (_, call) => this.#attach(call),
        names: () => ({
          ...namesIn(this.#file),
          ...(this.#standby.file === undefined ? {} : { standby: true }),
        }),
        configure: (params) => this.#inTurn(() => this.#apply(params)),
        prepare: (params) => this.#inTurn(() => this.#prepare(params)),
        take: ({ term }) => this.#inTurn(() => this.#take(term)),
        release: () => this.#release(),
      });
    } catch (error) {
      logger.fatal(oneLine(error));
      await this.#options.prepared?.close();
      return 1;
    }
    this.#startOrphanTimer();
    const { code, how } = await this.#ended;
    this.#ending = true;
    clearTimeout(this.#orphaned);
    await this.#configuring;
    await this.#gateway?.stop(how);
    this.#standby.close();
    // A standby has changed nothing of the host.
    const isOurs = this.#hasBegun && how !== 'handed';
    if (isOurs && how === 'open') removeDeviceMark(deviceMark(marks));
    if (isOurs) this.#releaseAddress();
    for (const key of this.#first?.psks.values() ?? []) key.wipe();
    await this.#options.prepared?.close();
    await this.#server.close();
    return code;
  }

  #attach({ gone }: Call): AttachAnswer {
    this.#supervisors++;
    clearTimeout(this.#orphaned);
    gone.addEventListener('abort', () => {
      this.#supervisors--;
      if (this.#supervisors === 0) this.#reported = this.#gateway?.core.events.position;
      if (this.#supervisors === 0 && !this.#ending) this.#startOrphanTimer();
    });
    const reported = this.#reported === undefined ? {} : { reported: this.#reported };
    return {
      pid: process.pid,
      version: programVersion,
      // From the moment on that it begins to: by then it may have sent something.
      configured: this.#hasBegun,
      ...reported,
      ...(this.#term === undefined ? {} : { term: this.#term }),
    };
  }

  #startOrphanTimer(): void {
    const { orphanSeconds, logger } = this.#options;
    clearTimeout(this.#orphaned);
    this.#orphaned = setTimeout(() => {
      logger.warn(`no supervisor for ${orphanSeconds} s: shutting down; its networks stay unreachable`);
      this.end(0, 'closed');
    }, orphanSeconds * 1000);
  }

  /** One change after the other. */
  #inTurn<T>(change: () => T | Promise<T>): Promise<T> {
    const done = this.#configuring.then(change);
    this.#configuring = done.catch(() => undefined);
    return done;
  }

  async #apply(params: Readonly<Record<string, unknown>>): Promise<ConfigureAnswer> {
    const fresh = decodeDesired(params);
    const { file } = fresh.config;
    this.#logIds(file);
    this.#file = file;
    if (this.#gateway !== undefined) {
      const report = this.#gateway.reconfigure(fresh);
      return { ok: report.ok, report };
    }
    // It has the device to itself from now on.
    this.#standby.close();
    await this.#start(fresh.take());
    return { ok: true };
  }

  /** The supervisor has made sure that no other process speaks for the gateway. */
  async #take(term: number): Promise<ConfigureAnswer> {
    if (this.#gateway !== undefined)
      throw new ControlError('refused', 'the gateway of this process runs already');
    const { config, tun } = this.#standby.take();
    this.#term = term;
    await this.#start(config, tun);
    return { ok: true };
  }

  #prepare(params: Readonly<Record<string, unknown>>): { readonly prepared: true } {
    if (this.#gateway !== undefined)
      throw new ControlError('refused', 'the gateway of this process runs already');
    const fresh = decodeDesired(params);
    const { file } = fresh.config;
    this.#standby.prepare(fresh);
    this.#logIds(file);
    this.#file = file;
    return { prepared: true };
  }

  /** Nothing is lost with it once this is answered; it ends by itself where it is not killed. */
  async #release(): Promise<{ readonly released: true }> {
    await this.#gateway?.handOver();
    this.#server?.hide();
    setImmediate(() => this.end(0, 'handed'));
    return { released: true };
  }

  async #start(config: CoreConfig, tun?: TunDevice): Promise<void> {
    const { gateway } = config.file;
    const { control, logger, prepared, marks = control } = this.#options;
    this.#hasBegun = true;
    try {
      // The mark first: at no moment is there something that no process would remove.
      writeDeviceMark(deviceMark(marks), gateway.interface);
      this.#takeAddress(gateway.address);
      this.#gateway = await startGateway({
        ...config,
        logger,
        control: this.#server!,
        ...(prepared === undefined ? {} : { prepared }),
        ...(tun === undefined ? {} : { tun }),
        onStopRequest: () => this.end(0, 'open'),
      });
      this.#first = config;
    } catch (error) {
      tun?.close();
      this.#releaseAddress();
      for (const key of config.psks.values()) key.wipe();
      throw error instanceof ControlError ? error : new ControlError('failed', oneLine(error));
    }
    void this.#gateway.failed.then(() => this.end(1, 'closed'));
  }

  /** @throws ControlError `no_address` */
  #takeAddress(address: string): void {
    try {
      const { control, marks = control } = this.#options;
      this.#removeAddress = ensureAddress(address, addressMark(marks));
    } catch (error) {
      throw new ControlError('no_address', `the address ${address} cannot be added: ${oneLine(error)}`);
    }
  }

  /** The log has names: it says once which ids of the API these have. */
  #logIds({ connections }: GatewayFile): void {
    const logged = new Map(this.#file?.connections.map(({ id, name }) => [id, name]));
    for (const { id, name } of connections) {
      if (logged.get(id) === name) continue;
      this.#options.logger.info({ connection: name, id }, `connection ${id} is called ${name}`);
    }
  }

  #releaseAddress(): void {
    try {
      this.#removeAddress();
    } catch (error) {
      this.#options.logger.warn(`the address of the gateway was not removed: ${oneLine(error)}`);
    }
    this.#removeAddress = () => undefined;
  }
}

function namesIn(file: GatewayFile | undefined): NamesAnswer {
  const connections = Object.fromEntries(file?.connections.map(({ id, name }) => [id, name]) ?? []);
  return { gateway: file?.gateway.name ?? null, connections };
}
