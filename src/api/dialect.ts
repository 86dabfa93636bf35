import { ApiError } from './errors.js';

/** What a request's `version` date makes different. All of them have one model. */
export interface Dialect {
  /** `YYYY-MM-DD`. */
  readonly version: string;
  /** The form of 2019: `public_ip`, `route_mode`, `3des`, DPD none/30/120, DELETE answered by 204. */
  readonly early: boolean;
  /** Gateways have a mode, `route` unless asked otherwise. */
  readonly modes: boolean;
  /** Gateways and members also have `status`. */
  readonly gatewayStatus: boolean;
  /** Connections have `peer_address`, `local_cidrs` and `peer_cidrs` in place of `local` and `peer`. */
  readonly flatConnections: boolean;
}

const FIRST = '2019-01-01';
/** The first date on which each form is gone, or there. */
const GATES = {
  early: '2020-01-01',
  modes: '2020-11-13',
  gatewayStatus: '2023-10-10',
  flatConnections: '2024-04-30',
} as const;

/**
 * The dialect of `version`, and a check of `generation`. The generation may be left out; 1 was that of clients
 * from before modes, and is taken with their versions only.
 * @throws ApiError 400
 */
export function readDialect(query: Readonly<Record<string, unknown>>, today: string): Dialect {
  const version = single(query.version);
  const target = { name: 'version', type: 'parameter' } as const;
  if (version === undefined) {
    throw new ApiError(400, 'invalid_version', `version is missing: add ?version=${today}`, target);
  }
  if (!isDate(version)) {
    throw new ApiError(400, 'invalid_version', 'version is not a date: write YYYY-MM-DD', target);
  }
  if (version < FIRST) {
    throw new ApiError(400, 'version_not_supported', `version begins with ${FIRST}`, target);
  }
  if (version > today) {
    const message = `version ${version} is in the future: today is ${today} (UTC)`;
    throw new ApiError(400, 'invalid_version_range', message, target);
  }
  const generation = query.generation === undefined ? '2' : single(query.generation);
  if (generation !== '2' && !(generation === '1' && version < GATES.modes)) {
    throw new ApiError(400, 'invalid_generation_parameter', 'generation is 2', {
      name: 'generation',
      type: 'parameter',
    });
  }
  return dialectOf(version);
}

/** The dialect of a date that was checked. */
export function dialectOf(version: string): Dialect {
  return {
    version,
    early: version < GATES.early,
    modes: version >= GATES.modes,
    gatewayStatus: version < GATES.gatewayStatus,
    flatConnections: version < GATES.flatConnections,
  };
}

function single(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isDate(text: string): boolean {
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}
