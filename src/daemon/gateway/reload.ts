import {
  type ConnectionPlan,
  changeOf,
  type FieldChange,
  knownIds,
  planConnections,
} from '../../connection/plan.js';
import type { PlannedConnection, ReloadField } from '../../connection/reload-table.js';
import type { EngineConfig } from '../../ike/config.js';
import type { ConfigError } from '../../store/config-error.js';
import type { GatewayFile, GatewaySettings } from '../../store/model.js';
import type { Result } from '../../util/result.js';
import type { CoreConfig } from '../core/config-in-force.js';
import type { FreshConfig } from './fresh-config.js';

/** What a reload does, or would do. The answer of the control method `reload`, in its JSON names. */
export interface ReloadReport {
  /** False when nothing was changed: the file is wrong, or a change needs a restart. */
  readonly ok: boolean;
  readonly dry_run: boolean;
  readonly file: string;
  /** What is wrong with the file; nothing is changed then. */
  readonly errors: readonly ConfigError[];
  /** Changes of the gateway's own fields and of the limits. */
  readonly gateway: readonly FieldChange[];
  /** Connections with a difference, in the order of the file, removed ones last. */
  readonly connections: readonly ReportedPlan[];
  /** How many connections are the same as before: they are not touched. */
  readonly unchanged: number;
  /** What went wrong while the plan was carried out, one sentence each. */
  readonly problems: readonly string[];
}

/** What a reload does to one connection, as it is reported: without its id and the steps inside. */
export type ReportedPlan = Omit<ConnectionPlan, 'id' | 'steps'>;

/** Reads the configuration again. */
export type Reread = () => Result<FreshConfig, readonly ConfigError[]>;

/** What differs between the configuration in force and a new one. */
export interface ReloadPlan {
  readonly gateway: readonly FieldChange[];
  readonly connections: readonly ConnectionPlan[];
  readonly unchanged: number;
  /** Whether it can be applied while the daemon runs. */
  readonly possible: boolean;
}

/** The difference between two configurations and what each part of it takes. `toConfig` gives the engine's view. */
export function planReload(
  before: CoreConfig,
  after: CoreConfig,
  toConfig: (config: CoreConfig) => EngineConfig,
): ReloadPlan {
  const gateway = gatewayChanges(before.file, after.file).map(changeOf);
  // Where the address or the mode changes, every connection differs, and none of it will be done.
  const refused = gateway.some(({ action }) => action === 'restart');
  const connections = refused ? [] : planConnections(planned(before, toConfig), planned(after, toConfig));
  const differing = new Set(connections.map(({ id }) => id));
  const unchanged = after.file.connections.filter(({ id }) => !differing.has(id)).length;
  const stuck = connections.some(({ changes }) => changes.some(({ action }) => action === 'restart'));
  return { gateway, connections, unchanged: refused ? 0 : unchanged, possible: !refused && !stuck };
}

/** A configuration that was read again, with the ids under which the connections of the present one go on in it. */
export function withKnownIds(
  before: CoreConfig,
  { file, psks }: CoreConfig,
  toConfig: (config: CoreConfig) => EngineConfig,
): CoreConfig {
  const ids = knownIds(planned(before, toConfig), planned({ file, psks }, toConfig));
  const idOf = new Map(file.connections.map(({ id }, i) => [id, ids[i]!]));
  return {
    file: { ...file, connections: file.connections.map((one) => ({ ...one, id: idOf.get(one.id)! })) },
    psks: new Map([...psks].map(([id, key]) => [idOf.get(id)!, key])),
  };
}

function planned(config: CoreConfig, toConfig: (config: CoreConfig) => EngineConfig): PlannedConnection[] {
  return toConfig(config).connections.map((one, i) => {
    const { peer, routes, distributeTraffic, interface: device } = config.file.connections[i]!;
    return {
      config: one,
      peer: peer.address ?? peer.fqdn ?? '',
      ...{ routes, distributeTraffic },
      ...(device === undefined ? {} : { interface: device }),
    };
  });
}

/** Every setting of the gateway with its rule: a new one cannot be forgotten here. */
const GATEWAY_FIELDS: Readonly<Record<keyof GatewaySettings, ReloadField>> = {
  name: 'gateway.name',
  profile: 'gateway.profile',
  address: 'gateway.address',
  mode: 'gateway.mode',
  interface: 'gateway.interface',
  control: 'gateway.control',
  encapsulation: 'gateway.encapsulation',
  offload: 'gateway.offload',
  mss: 'gateway.mss',
  workers: 'gateway.workers',
  failClosed: 'gateway.fail_closed',
};

function gatewayChanges(before: GatewayFile, after: GatewayFile): ReloadField[] {
  const fields: ReloadField[] = [];
  for (const [name, field] of Object.entries(GATEWAY_FIELDS)) {
    const key = name as keyof GatewaySettings;
    if (JSON.stringify(before.gateway[key]) !== JSON.stringify(after.gateway[key])) fields.push(field);
  }
  if (JSON.stringify(before.limits) !== JSON.stringify(after.limits)) fields.push('limits');
  return fields;
}
