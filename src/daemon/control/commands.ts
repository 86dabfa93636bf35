import type { ConnectionNames } from '../../connection/connection-names.js';
import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import type { HistoryDocument } from '../../telemetry/history.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Captures } from '../capture/captures.js';
import type { CaptureReport } from '../capture/request.js';
import type { CaptureSink } from '../capture/session.js';
import type { GatewayCore } from '../core/core.js';
import type { DoctorReport } from '../doctor/report.js';
import type { DiagnosisWish } from '../gateway/diagnosis.js';
import type { ReloadReport } from '../gateway/reload.js';
import type { GatewayMetrics } from '../metrics/gateway-metrics.js';
import type { Call, ControlHandler, EventsAnswer, ParamsOf } from './methods.js';
import { ControlError } from './protocol.js';

/** The gateway that the commands act on. */
export interface Commanded {
  readonly core: GatewayCore;
  readonly names: ConnectionNames;
  readonly metrics: Pick<GatewayMetrics, 'snapshot'>;
  status(): StatusDocument;
  /** The status document without its connections. */
  gatewayStatus(): StatusDocument['gateway'];
  reload(dryRun: boolean): ReloadReport;
  /** Looks for what is in the way of the tunnels. */
  diagnose(wish: DiagnosisWish): Promise<DoctorReport>;
  readonly captures: Captures;
  /** A client asks the daemon to end. */
  requestStop(): void;
}

/** What clients of the control socket may ask a gateway. */
export class ControlCommands implements ControlHandler {
  readonly #gateway: Commanded;
  readonly #core: GatewayCore;
  readonly #names: ConnectionNames;
  /** The last look at everything: one at a time. */
  #diagnosing: Promise<unknown> = Promise.resolve();

  constructor(gateway: Commanded) {
    this.#gateway = gateway;
    this.#core = gateway.core;
    this.#names = gateway.names;
  }

  status({ name }: ParamsOf<'status'>): StatusDocument {
    if (name === undefined) return this.#gateway.status();
    return { gateway: this.#gateway.gatewayStatus(), connections: [this.#document(name)] };
  }

  async up({ name, wait, timeout }: ParamsOf<'up'>, call: Call): Promise<ConnectionStatusDocument> {
    const { id, admin_state_up } = this.#document(name);
    if (!admin_state_up) {
      throw new ControlError('refused', `${name} is administratively down: set admin_state_up to true`);
    }
    this.#core.up(id);
    const document = this.#document(name);
    if (!wait) return document;
    const result = await this.#core.watchers.waitUp(id, call.progress, call.within(timeout));
    if (!result.ok) throw new ControlError('failed', result.error);
    return result.value;
  }

  down({ name }: ParamsOf<'down'>): ConnectionStatusDocument {
    this.#core.down(this.#find(name));
    return this.#document(name);
  }

  watch(_: ParamsOf<'watch'>, call: Call): StatusDocument {
    call.follow(
      (changed) => this.#core.watchers.subscribe(changed),
      () => this.#gateway.status(),
    );
    return this.#gateway.status();
  }

  async events(
    { from, kinds, connections, level, follow }: ParamsOf<'events'>,
    call: Call,
  ): Promise<EventsAnswer> {
    const { events } = this.#core;
    const filter = {
      ...(kinds === undefined ? {} : { kinds }),
      ...(connections === undefined ? {} : { connections }),
      ...(level === undefined ? {} : { level }),
    };
    const start = from === undefined ? 'now' : from === 'oldest' ? from : { after: from };
    await call.stream(events, { filter, from: start, follow });
    return { last: events.position };
  }

  explain({ name }: ParamsOf<'explain'>): Explanation {
    const explanation = this.#core.statuses.explain(this.#find(name));
    if (explanation === undefined) throw this.#unknown(name);
    return explanation;
  }

  history({ name, ...wish }: ParamsOf<'history'>): HistoryDocument {
    const history = this.#core.history(this.#find(name), wish);
    if (history === undefined) throw this.#unknown(name);
    return history;
  }

  metrics(): GatewaySnapshot {
    return this.#gateway.metrics.snapshot();
  }

  doctor({ name, passive, probe }: ParamsOf<'doctor'>): Promise<DoctorReport> {
    const only = name === undefined ? undefined : this.#find(name);
    const next = this.#diagnosing.then(() => this.#gateway.diagnose({ only, passive, probe }));
    this.#diagnosing = next.catch(() => undefined);
    return next;
  }

  capture({ name, ...limits }: ParamsOf<'capture'>, call: Call): Promise<CaptureReport> {
    const { client, gone } = call;
    const sink: CaptureSink = {
      ready: () => call.ready(),
      write: (octets) => call.capture({ file: Buffer.from(octets).toString('base64') }),
      keys: (keys) => call.capture({ keys }),
    };
    const connection = this.#find(name);
    const shown = this.#names.nameOf(connection);
    return this.#gateway.captures.run({ connection, ...limits }, shown, { client, gone, sink });
  }

  capture_stop(_: ParamsOf<'capture_stop'>): { stopped: boolean } {
    return { stopped: this.#gateway.captures.stop() };
  }

  reload({ dry_run: dryRun }: ParamsOf<'reload'>): ReloadReport {
    return this.#gateway.reload(dryRun);
  }

  stop(_: ParamsOf<'stop'>, call: Call): { stopping: true } {
    call.afterwards(() => this.#gateway.requestStop());
    return { stopping: true };
  }

  #document(name: string): ConnectionStatusDocument {
    const found = this.#core.statuses.of(this.#find(name));
    if (found === undefined) throw this.#unknown(name);
    return found;
  }

  #find(name: string): ConnectionId {
    const id = this.#names.find(name);
    if (id === undefined) throw this.#unknown(name);
    return id;
  }

  #unknown(name: string): ControlError {
    const known = this.#names.all().join(', ');
    return new ControlError('not_found', `there is no connection ${name}: configured are ${known || 'none'}`);
  }
}
