import type { EventConsumer } from '../../connection/projection.js';
import type { ConnectionStatus } from '../../connection/status.js';
import type { TrafficTotal } from '../../connection/traffic-totals.js';
import type { WorkerState } from '../../dataplane/dataplane.js';
import { DROP_REASONS, type DropCounts } from '../../esp/drops.js';
import type { DatagramDropReason, IkeEvent } from '../../ike/events.js';
import { type Samples, SampleWriter } from './samples.js';

/** What happened to a gateway that is of no connection. */
export class GatewayCounts implements EventConsumer {
  readonly datagramDrops = new Map<DatagramDropReason, number>();
  cookiesDemanded = 0;
  unmatchedFailures = 0;
  /** Configurations that were taken over, and that were not. */
  readonly reloads = { applied: 0, refused: 0 };

  on(event: IkeEvent): void {
    switch (event.kind) {
      case 'datagram-dropped':
        this.datagramDrops.set(event.reason, (this.datagramDrops.get(event.reason) ?? 0) + 1);
        return;
      case 'cookie-demanded':
        this.cookiesDemanded++;
        return;
      case 'ike-failed':
        if (event.connection === undefined) this.unmatchedFailures++;
        return;
      default:
    }
  }

  /** A configuration was read, and taken over or not. */
  reloaded(applied: boolean): void {
    this.reloads[applied ? 'applied' : 'refused']++;
  }
}

/** What a process says of itself. Seconds and octets. */
export interface ProcessFigures {
  readonly residentMemory: number;
  readonly heapUsed: number;
  readonly cpuSeconds: number;
  /** How late the event loop was, by quantile. */
  readonly delay: Readonly<Record<'0.5' | '0.99' | '1', number>>;
}

/** Everything that the metrics of a gateway are made of. */
export interface GatewayFigures {
  /** Empty where it has its configuration from a file. */
  readonly id: string;
  readonly address: string;
  readonly mode: string;
  readonly interface: string;
  readonly dataPlane: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly states: readonly ConnectionStatus[];
  readonly traffic: TrafficTotal;
  /** Drops that belong to no SA. */
  readonly drops: DropCounts;
  /** Packets that came in the clear and were discarded. */
  readonly clearDiscarded: number;
  readonly counts: GatewayCounts;
  readonly halfOpen: number;
  readonly process: ProcessFigures;
}

/** The metrics of a gateway itself. */
export function gatewaySamples(figures: GatewayFigures): Samples {
  const out = new SampleWriter();
  const { id, address, mode, interface: device, dataPlane, version, traffic, counts, states } = figures;
  out.put('culvert_gateway_info', 1, id, address, mode, device, dataPlane, version);
  out.add('culvert_gateway_up', 1);
  out.add('culvert_gateway_start_timestamp_seconds', figures.startedAt / 1000);
  for (const state of ['up', 'degraded', 'down'] as const)
    out.add('culvert_gateway_connections', states.filter((one) => one === state).length, state);
  out.add('culvert_gateway_bytes_total', traffic.bytesIn, 'in');
  out.add('culvert_gateway_bytes_total', traffic.bytesOut, 'out');
  out.add('culvert_gateway_packets_total', traffic.packetsIn, 'in');
  out.add('culvert_gateway_packets_total', traffic.packetsOut, 'out');
  for (const [i, reason] of DROP_REASONS.entries())
    out.add('culvert_gateway_dropped_packets_total', traffic.drops[i]! + figures.drops[reason], reason);
  out.add('culvert_gateway_clear_packets_discarded_total', figures.clearDiscarded);
  for (const [reason, count] of counts.datagramDrops)
    out.add('culvert_gateway_ike_dropped_datagrams_total', count, reason);
  out.add('culvert_gateway_half_open_ike_sas', figures.halfOpen);
  out.add('culvert_gateway_cookies_demanded_total', counts.cookiesDemanded);
  out.add('culvert_gateway_unmatched_failures_total', counts.unmatchedFailures);
  out.add('culvert_gateway_reloads_total', counts.reloads.applied, 'applied');
  out.add('culvert_gateway_reloads_total', counts.reloads.refused, 'refused');
  addProcess(out, figures.process);
  return out.samples;
}

function addProcess(
  out: SampleWriter,
  { residentMemory, heapUsed, cpuSeconds, delay }: ProcessFigures,
): void {
  out.add('culvert_gateway_resident_memory_bytes', residentMemory);
  out.add('culvert_gateway_heap_used_bytes', heapUsed);
  out.add('culvert_gateway_cpu_seconds_total', cpuSeconds);
  for (const [quantile, seconds] of Object.entries(delay))
    out.add('culvert_gateway_event_loop_delay_seconds', seconds, quantile);
}

/** The metrics of one packet thread. */
export function workerSamples(state: WorkerState): Samples {
  const out = new SampleWriter();
  out.add('culvert_worker_child_sas', state.children);
  out.add('culvert_worker_handovers_total', state.takenOver, 'in');
  out.add('culvert_worker_handovers_total', state.handedOver, 'out');
  out.add('culvert_worker_queue_full_total', state.queueFull);
  out.add('culvert_worker_cpu_seconds_total', state.cpuSeconds);
  out.add('culvert_worker_bursts_total', state.burstsIn, 'in');
  out.add('culvert_worker_bursts_total', state.burstsOut, 'out');
  return out.samples;
}
