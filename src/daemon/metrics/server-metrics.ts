import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ApiObserver, AuthFailure } from '../../api/observer.js';
import type { EtcdReport } from '../../store/etcd/etcd-store.js';
import { type GatewayRecord, KIND } from '../../store/records.js';
import { type MetricName, metricOf } from '../../telemetry/metrics/catalogue.js';
import {
  type FamilyValue,
  familyOf,
  type MemberSnapshot,
  type MetricFamily,
  type MetricsDocument,
  memberLabel,
} from '../../telemetry/metrics/families.js';
import { aliasFamilies, type ServerMoment } from './alias-families.js';
import type { CommitResult } from './measured-store.js';
import { ProcessMetrics } from './process-metrics.js';
import { type RoutingRunner, routeFamilies } from './route-families.js';

/** Counts what happens in the server, and puts together what a scrape of it shows. */
export class ServerMetrics implements ApiObserver {
  readonly #registry = new Registry();
  readonly #process = new ProcessMetrics();
  readonly #requests = new Counter(this.#entry('culvert_api_requests_total'));
  readonly #durations = new Histogram(this.#entry('culvert_api_request_duration_seconds'));
  readonly #inFlight = new Gauge(this.#entry('culvert_api_requests_in_flight'));
  readonly #refusals = new Counter(this.#entry('culvert_api_auth_failures_total'));
  readonly #writes = new Counter(this.#entry('culvert_store_writes_total'));
  readonly #storeUp = new Gauge(this.#entry('culvert_store_up'));
  readonly #resyncs = new Counter(this.#entry('culvert_store_resyncs_total'));
  readonly #writeDurations = new Histogram(this.#entry('culvert_store_write_duration_seconds'));

  constructor() {
    // What may come is there at 0 before it does.
    for (const reason of valuesOf('culvert_api_auth_failures_total', 'reason'))
      this.#refusals.inc({ reason }, 0);
    for (const result of valuesOf('culvert_store_writes_total', 'result')) this.#writes.inc({ result }, 0);
    for (const cause of valuesOf('culvert_store_resyncs_total', 'cause')) this.#resyncs.inc({ cause }, 0);
    this.#storeUp.set(1);
  }

  begun(): void {
    this.#inFlight.inc();
  }

  answered({ method, route, code, seconds }: Parameters<ApiObserver['answered']>[0]): void {
    this.#inFlight.dec();
    this.#requests.inc({ method, route, code });
    this.#durations.observe({ method, route }, seconds);
  }

  refused(reason: AuthFailure): void {
    this.#refusals.inc({ reason });
  }

  committed(result: CommitResult, seconds: number): void {
    this.#writes.inc({ result });
    if (result === 'done') this.#writeDurations.observe(seconds);
  }

  /** What becomes of a store in etcd. */
  stored(event: EtcdReport): void {
    if (event.kind === 'lost') this.#storeUp.set(0);
    else if (event.kind === 'found') this.#storeUp.set(1);
    else if (event.kind === 'resynced') this.#resyncs.inc({ cause: event.cause });
  }

  /** Everything that a scrape shows. */
  async document(moment: ServerMoment, runner: RoutingRunner): Promise<MetricsDocument> {
    const counted = (await this.#registry.getMetricsAsJSON()) as unknown as MetricFamily[];
    const own = await this.#process.families();
    const names = gatewayNames(moment);
    const gateways = membersOf(moment, names);
    const routed = routeFamilies(moment, runner, (id) => names.get(id) ?? id);
    return {
      families: [
        ...own,
        ...counted,
        ...storedFamilies(moment, gateways),
        ...routed,
        ...aliasFamilies(moment),
      ],
      gateways,
    };
  }

  #entry(name: MetricName) {
    const { help, labels, buckets } = metricOf(name);
    return {
      ...{ name, help, labelNames: [...labels], registers: [this.#registry] },
      ...(buckets === undefined ? {} : { buckets: [...buckets] }),
    };
  }
}

function valuesOf(name: MetricName, label: string): readonly string[] {
  return metricOf(name).values?.[label] ?? [];
}

function storedFamilies(
  { objects, members }: ServerMoment,
  shown: readonly MemberSnapshot[],
): MetricFamily[] {
  const kinds = valuesOf('culvert_store_objects', 'kind');
  const restarts = members.map(({ restarts: value, member }, i): FamilyValue => {
    return { labels: { gateway: shown[i]!.snapshot.name, member: memberLabel(member) }, value };
  });
  return [
    familyOf('culvert_store_revision', [{ labels: {}, value: objects.revision }]),
    familyOf(
      'culvert_store_objects',
      kinds.map((kind) => ({ labels: { kind }, value: objects.list(kind).length })),
    ),
    familyOf('culvert_gateway_restarts_total', restarts),
    ...standbyFamilies(members, shown),
  ];
}

/** Of gateways that have a standby. */
function standbyFamilies(members: ServerMoment['members'], shown: readonly MemberSnapshot[]): MetricFamily[] {
  const pairs = members.flatMap(({ standby, member }, i) =>
    standby === undefined ? [] : [{ gateway: shown[i]!.snapshot.name, member, ...standby }],
  );
  return [
    familyOf(
      'culvert_ha_role',
      pairs.flatMap(({ gateway, member }) =>
        [0, 1].map((one) => ({
          labels: { gateway, member: memberLabel(one) },
          value: one === member ? 1 : 0,
        })),
      ),
    ),
    familyOf(
      'culvert_ha_standby_ready',
      pairs.map(({ gateway, isReady }) => ({ labels: { gateway }, value: isReady ? 1 : 0 })),
    ),
    familyOf(
      'culvert_ha_term',
      pairs.map(({ gateway, term }) => ({ labels: { gateway }, value: term })),
    ),
    familyOf(
      'culvert_ha_takeovers_total',
      pairs.flatMap(({ gateway, takeovers }) =>
        Object.entries(takeovers).map(([reason, value]) => ({ labels: { gateway, reason }, value })),
      ),
    ),
  ];
}

/** The processes as a scrape names them, with what only the server knows of them. */
function membersOf({ members }: ServerMoment, names: ReadonlyMap<string, string>): MemberSnapshot[] {
  return members.map(({ id, member, snapshot }) => {
    const name = names.get(id) ?? snapshot.name;
    return { member, snapshot: { ...snapshot, name, samples: withId(snapshot.samples, id) } };
  });
}

/**
 * What metrics call the gateways that are stored, by id. Names are unique within a VPC: where gateways of two VPCs share
 * one, the VPC's name is put before it.
 */
function gatewayNames({ objects, site }: ServerMoment): ReadonlyMap<string, string> {
  const gateways = objects.list<GatewayRecord>(KIND.gateway);
  const known = new Set<string>();
  const shared = new Set<string>();
  for (const { value } of gateways) (known.has(value.name) ? shared : known).add(value.name);
  return new Map(
    gateways.map(({ id, value: { name, vpc } }) => {
      const place = site.vpcs.find((one) => one.id === vpc)?.name ?? vpc;
      return [id, shared.has(name) ? `${place}/${name}` : name];
    }),
  );
}

/** A process does not know the id that the API has for its gateway, the first label of its own. */
function withId(samples: MemberSnapshot['snapshot']['samples'], id: string): typeof samples {
  const info = samples.culvert_gateway_info?.map(([, ...rest]) => [id, ...rest] as const);
  return info === undefined ? samples : { ...samples, culvert_gateway_info: info as never };
}
