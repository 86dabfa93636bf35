import type { ConfigPath } from '../../store/config-error.js';
import { CliError } from '../errors.js';
import { suggestion } from '../nearest.js';
import type { ApiObject } from '../vpn/api-client.js';
import type { Current } from './current.js';
import { at, differ, told } from './differences.js';
import type { Document } from './document.js';
import type { KnownRoute, KnownTable } from './routing-current.js';
import { type NextHopWish, type RouteWish, type TableWish, usualMakers } from './routing-document.js';
import type { Step, StepRequest, Verb } from './step.js';

/** Where the plan of the routing goes, and what the plan of everything else does to it. */
export interface RoutingPlanner {
  readonly document: Document;
  readonly prune: boolean;
  /** Ids of gateways that go before the rest, and of connections that go with the rest. */
  readonly leavingGateways: ReadonlySet<string>;
  readonly leavingConnections: ReadonlySet<string>;
  change(verb: Verb, object: string, changes: readonly string[]): void;
  /** Adds a step; `first`: with those that go before the rest. */
  step(step: Step, first?: boolean): void;
  keep(object: string): void;
  unchanged(): void;
}

/** A table of the file with what is known of its surroundings. */
interface PlacedTable {
  readonly wish: TableWish;
  /** Empty for one that the file does not name. */
  readonly place: ConfigPath;
  readonly vpc: ApiObject;
  readonly known: KnownTable | undefined;
  /** Ids of its subnets. */
  readonly subnets: readonly string[];
}

const FIELDS = [
  'name',
  'accept_routes_from',
  'advertise_routes_to',
  'route_direct_link_ingress',
  'route_internet_ingress',
  'route_transit_gateway_ingress',
  'route_vpc_zone_ingress',
] as const;

/** The way from the routing that there is to that of the document. */
export function planRouting(current: Current, planner: RoutingPlanner): void {
  const { document, prune } = planner;
  const placed = document.tables.map((wish, index) =>
    placedTable(wish, ['routing_tables', index], current, document),
  );
  const surplus = current.tables.filter((known) => !placed.some((one) => one.known === known));
  if (prune) {
    // A default table cannot go: it becomes what it is by itself.
    for (const known of surplus.filter(({ wish }) => wish.isDefault)) {
      placed.push(untouched(known, current));
    }
  }
  for (const one of placed) planTable(one, planner);
  planSubnets(placed, current, planner);
  for (const known of surplus) {
    if (known.wish.isDefault) continue;
    const object = tableTitle(known.name, known.wish.vpc);
    if (!prune) {
      planner.keep(object);
      continue;
    }
    for (const route of known.routes) {
      if (planner.leavingGateways.has(route.gateway ?? '')) dropRoute(route, known, planner);
    }
    planner.change('delete', object, []);
    const request = { operation: 'delete_vpc_routing_table', vpc: { id: known.vpc }, id: known.id };
    planner.step({ object, request });
  }
}

function tableTitle(name: string, vpc: string): string {
  return `routing table ${name} of ${vpc}`;
}

function placedTable(wish: TableWish, place: ConfigPath, current: Current, document: Document): PlacedTable {
  const find = (all: readonly ApiObject[], text: string, path: ConfigPath, word: string): ApiObject => {
    const found = all.find(({ id, name }) => id === text || name === text);
    if (found !== undefined) return found;
    const hint = suggestion(
      text,
      all.map(({ name }) => name),
    );
    throw new CliError(`${document.locate(path)}: there is no ${word} "${text}"${hint}`);
  };
  const vpc = find(current.vpcs, wish.vpc, [...place, 'vpc'], 'VPC');
  const inVpc = current.subnets.filter((subnet) => (subnet.vpc as ApiObject).id === vpc.id);
  const subnets = wish.subnets.map((text, at) =>
    find(inVpc, text, [...place, 'subnets', at], 'subnet in the VPC'),
  );
  const known = current.tables.find(
    (one) =>
      one.vpc === vpc.id &&
      one.wish.isDefault === wish.isDefault &&
      (wish.isDefault || one.name === wish.name),
  );
  return { wish, place, vpc, known, subnets: subnets.map(({ id }) => id) };
}

function untouched(known: KnownTable, current: Current): PlacedTable {
  const vpc = current.vpcs.find(({ id }) => id === known.vpc)!;
  const wish: TableWish = {
    vpc: known.wish.vpc,
    isDefault: true,
    accept_routes_from: usualMakers(true),
    advertise_routes_to: [],
    route_direct_link_ingress: false,
    route_internet_ingress: false,
    route_transit_gateway_ingress: false,
    route_vpc_zone_ingress: false,
    subnets: [],
    routes: [],
  };
  return { wish, place: [], vpc, known, subnets: [] };
}

/** The fields of the body, as the API takes them. */
function bodyOf(wish: TableWish, fields: readonly (typeof FIELDS)[number][]): object {
  return Object.fromEntries(
    fields
      .filter((field) => wish[field] !== undefined)
      .map((field) => [
        field,
        field === 'accept_routes_from'
          ? wish.accept_routes_from.map((resource_type) => ({ resource_type }))
          : wish[field],
      ]),
  );
}

function planTable({ wish, place, vpc, known }: PlacedTable, planner: RoutingPlanner): void {
  const name = wish.name ?? known?.name ?? '';
  const object = tableTitle(name, vpc.name);
  if (known === undefined) {
    planner.change('create', object, []);
    const request = {
      operation: 'create_vpc_routing_table',
      vpc: { id: vpc.id },
      body: bodyOf(wish, FIELDS),
    };
    planner.step({ object, place, request });
    planRoutes(wish.routes, [], { object, place, planner, vpc: vpc.id, table: { name } });
    return;
  }
  const differing = FIELDS.filter(
    (field) => at(wish, field) !== undefined && differ(at(wish, field), at(asKnown(known), field)),
  );
  if (differing.length === 0) {
    if (place.length > 0) planner.unchanged();
  } else {
    const texts = differing.map((field) => told(field, at(asKnown(known), field), at(wish, field)));
    planner.change('update', object, texts);
    const body = bodyOf(wish, differing);
    const request = { operation: 'update_vpc_routing_table', vpc: { id: vpc.id }, id: known.id, body };
    planner.step({ object, place, request });
  }
  planRoutes(wish.routes, known.routes, { object, place, planner, vpc: vpc.id, table: { id: known.id } });
}

function asKnown({ wish, name }: KnownTable): object {
  return { ...wish, name };
}

interface RouteScene {
  /** Of the table, in words. */
  readonly object: string;
  readonly place: ConfigPath;
  readonly planner: RoutingPlanner;
  readonly vpc: string;
  readonly table: NonNullable<StepRequest['table']>;
}

function planRoutes(wanted: readonly RouteWish[], known: readonly KnownRoute[], scene: RouteScene): void {
  const { object, place, planner, vpc, table } = scene;
  const shared = { vpc: { id: vpc }, table };
  const remove = ({ id, wish, gateway }: KnownRoute): void => {
    const request = { operation: 'delete_vpc_routing_table_route', ...shared, id };
    // A gateway that goes first must not be named any more.
    planner.step(
      { object: `route ${wish.name} of ${object}`, request },
      planner.leavingGateways.has(gateway ?? ''),
    );
  };
  for (const [index, wish] of wanted.entries()) {
    const about = { object: `route ${wish.name} of ${object}`, place: [...place, 'routes', index] };
    const found = known.find((one) => one.wish.name === wish.name);
    const create = (): void => {
      const { next_hop: hop, zone, ...rest } = wish;
      const body = { ...rest, zone: { name: zone }, ...(hop === null ? {} : { next_hop: hop }) };
      planner.step({ ...about, request: { operation: 'create_vpc_routing_table_route', ...shared, body } });
    };
    if (found === undefined) {
      planner.change('create', about.object, []);
      create();
      continue;
    }
    const fixed = (['zone', 'destination', 'action'] as const).filter(
      (field) => wish[field] !== found.wish[field],
    );
    const leaves = planner.leavingGateways.has(found.gateway ?? '');
    const changed = changedFields(found, wish, planner);
    const texts = [...fixed, ...changed].map((field) => told(field, at(found.wish, field), at(wish, field)));
    if (fixed.length > 0 || leaves) {
      planner.change('replace', about.object, texts);
      remove(found);
      create();
    } else if (changed.length > 0) {
      planner.change('update', about.object, texts);
      const body = Object.fromEntries(changed.map((field) => [field, wish[field]]));
      const operation = 'update_vpc_routing_table_route';
      planner.step({ ...about, request: { operation, ...shared, id: found.id, body } });
    } else {
      planner.unchanged();
    }
  }
  for (const one of known) {
    if (wanted.some(({ name }) => name === one.wish.name)) continue;
    const title = `route ${one.wish.name} of ${object}`;
    if (!planner.prune) {
      planner.keep(title);
      continue;
    }
    planner.change('delete', title, []);
    remove(one);
  }
}

/** Also the next hop that keeps its name but is created again. */
function changedFields(found: KnownRoute, wish: RouteWish, planner: RoutingPlanner) {
  const isRemade = planner.leavingConnections.has(found.connection ?? '');
  return (['next_hop', 'priority', 'advertise'] as const).filter((field) => {
    if (field === 'next_hop' && isRemade) return true;
    return differ(wish[field] satisfies NextHopWish | number | boolean, found.wish[field]);
  });
}

/** A route of a table that goes as a whole, to a gateway that goes before it. */
function dropRoute({ id, wish }: KnownRoute, table: KnownTable, planner: RoutingPlanner): void {
  const object = `route ${wish.name} of ${tableTitle(table.name, table.wish.vpc)}`;
  const request = {
    operation: 'delete_vpc_routing_table_route',
    vpc: { id: table.vpc },
    table: { id: table.id },
    id,
  };
  planner.step({ object, request }, true);
}

/** Subnets go to the table that names them; those that a table of the file names no more get the default table. */
function planSubnets(placed: readonly PlacedTable[], current: Current, planner: RoutingPlanner): void {
  for (const subnet of current.subnets) {
    const vpc = (subnet.vpc as ApiObject).id;
    const now = (subnet.routing_table as ApiObject | undefined)?.id;
    // A server from before there were routing tables.
    if (now === undefined) continue;
    const holder = current.tables.find(({ id }) => id === now);
    const wanted = placed.find(({ subnets }) => subnets.includes(subnet.id));
    // Without --prune a table that the file does not name keeps its subnets.
    const isFree = holder?.wish.isDefault !== false;
    const isListed = planner.prune || placed.some(({ known }) => known === holder);
    const target =
      wanted ??
      (isFree || !isListed ? undefined : current.tables.find((one) => one.vpc === vpc && one.wish.isDefault));
    if (target === undefined) continue;
    const id = 'known' in target ? target.known?.id : target.id;
    if (id === now) continue;
    const name = 'known' in target ? (target.wish.name ?? '') : target.name;
    const object = `subnet ${subnet.name}`;
    planner.change('update', object, [told('routing_table', holder?.name ?? now, name)]);
    const request: StepRequest = {
      operation: 'replace_subnet_routing_table',
      vpc: { id: vpc },
      table: id === undefined ? { name } : { id },
      id: subnet.id,
    };
    planner.step({ object, request, ...('place' in target ? { place: target.place } : {}) });
  }
}
