import type { Explanation } from '../../src/connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../src/connection/status.js';
import type { CaptureReport } from '../../src/daemon/capture/request.js';
import type { Call, ControlHandler, EventsAnswer, ParamsOf } from '../../src/daemon/control/methods.js';
import { ControlError } from '../../src/daemon/control/protocol.js';
import { Check, type DoctorReport, doctorReport } from '../../src/daemon/doctor/report.js';
import type { ReloadReport } from '../../src/daemon/gateway/reload.js';
import { EventHub, HUB_LIMITS } from '../../src/telemetry/events/event-hub.js';
import type { HistoryDocument } from '../../src/telemetry/history.js';
import type { GatewaySnapshot } from '../../src/telemetry/metrics/samples.js';

const connection = (name: string, status: 'up' | 'down'): ConnectionStatusDocument => ({
  id: `id-of-${name}`,
  name,
  status,
  admin_state_up: true,
  establish_mode: 'bidirectional',
  peer: '192.0.2.2',
  ike: null,
  children: [],
  status_reasons: [],
  advisories: [],
});

/** A daemon with one connection `c`, without anything behind it. */
export class FakeDaemon implements ControlHandler {
  state: 'up' | 'down' = 'down';
  stopped = 0;
  waiting = 0;
  readonly listeners = new Set<() => void>();
  readonly hub = new EventHub(HUB_LIMITS.gateway);

  status({ name }: Partial<ParamsOf<'status'>> = {}): StatusDocument {
    if (name !== undefined && name !== 'c')
      throw new ControlError('not_found', `there is no connection ${name}`);
    const gateway = {
      name: 'g',
      mode: 'policy',
      address: '192.0.2.1',
      interface: 'culvert0',
      data_plane: 'portable',
      raw_esp: true,
      version: '0',
      started_at: '2026-01-01T00:00:00Z',
      drops: {},
    } as const;
    return { gateway, connections: [connection('c', this.state)] };
  }

  change(state: 'up' | 'down'): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }

  up(
    { name, wait, timeout }: ParamsOf<'up'>,
    call: Call,
  ): ConnectionStatusDocument | Promise<ConnectionStatusDocument> {
    const document = this.status({ name }).connections[0]!;
    return wait ? this.#waitUp(call, call.within(timeout)) : document;
  }

  down({ name }: ParamsOf<'down'>): ConnectionStatusDocument {
    this.change('down');
    return this.status({ name }).connections[0]!;
  }

  watch(_: ParamsOf<'watch'>, call: Call): StatusDocument {
    call.follow(
      (changed) => {
        this.listeners.add(changed);
        return () => this.listeners.delete(changed);
      },
      () => this.status(),
    );
    return this.status();
  }

  metrics(): GatewaySnapshot {
    return { name: 'g', samples: {}, workers: [], connections: [] };
  }

  async events({ from, kinds, follow }: ParamsOf<'events'>, call: Call): Promise<EventsAnswer> {
    const start = from === undefined ? 'now' : from === 'oldest' ? from : { after: from };
    await call.stream(this.hub, { filter: kinds === undefined ? {} : { kinds }, from: start, follow });
    return { last: this.hub.position };
  }

  explain({ name }: ParamsOf<'explain'>): Explanation {
    this.status({ name });
    const { status } = connection('c', this.state);
    const rest = { cause: null, advice: [], next: [], timeline: [], verdict: 'all is well' };
    return { name, status, ...rest, connection: connection('c', this.state) };
  }

  doctor({ passive }: ParamsOf<'doctor'>): DoctorReport {
    const check = new Check({ area: 'host', check: 'forwarding' });
    const remedy = 'turn it on';
    const entry = check.finding({ code: 'forwarding_off', message: `off, passive ${passive}`, remedy });
    return doctorReport({ gateway: { name: 'g', address: '192.0.2.1' }, running: true }, [entry]);
  }

  history({ name, step = 60 }: ParamsOf<'history'>): HistoryDocument {
    this.status({ name });
    return { name, since: '2026-01-01T00:00:00.000Z', step, points: [] };
  }

  /** Sends what stands for a file, and a line of keys when they are asked for. */
  capture({ name, keys }: ParamsOf<'capture'>, call: Call): CaptureReport {
    this.status({ name });
    call.capture({ file: Buffer.from('a file').toString('base64') });
    if (keys) call.capture({ keys: [{ table: 'esp_sa', line: 'a line' }] });
    return { ended: 'time', packets: 2, bytes: 6, lost: 1, ...(keys ? { child_sas_without_keys: 1 } : {}) };
  }

  capture_stop(): { stopped: boolean } {
    return { stopped: false };
  }

  reload({ dry_run: dryRun }: ParamsOf<'reload'>): ReloadReport {
    const nothing = { errors: [], gateway: [], connections: [], unchanged: 1, problems: [] };
    return { ok: true, dry_run: dryRun, file: 'gateway.yaml', ...nothing };
  }

  stop(_: ParamsOf<'stop'>, call: Call): { stopping: true } {
    call.afterwards(() => this.stopped++);
    return { stopping: true };
  }

  #waitUp(call: Call, signal: AbortSignal): Promise<ConnectionStatusDocument> {
    this.waiting++;
    call.progress('initiating');
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => {
        this.waiting--;
        reject(new ControlError('failed', 'c is not up. No answer.'));
      });
      this.listeners.add(() => resolve(connection('c', this.state)));
    });
  }
}
