import type { ConfigPath } from '../../store/config-error.js';
import { CliError } from '../errors.js';
import { suggestion } from '../nearest.js';
import type { ApiObject } from '../vpn/api-client.js';
import { connectionDifference, haveSameEnds, newConnection } from './connection-steps.js';
import type { ConnectionWish } from './connection-wish.js';
import type { Current, KnownGateway } from './current.js';
import { at, differ, told, unambiguousPairs } from './differences.js';
import type { Document, GatewayWish } from './document.js';
import type { Known } from './known.js';
import { planRouting } from './routing-plan.js';
import type { Step, StepRequest, Verb } from './step.js';

/** What happens to one object, in words. */
export interface PlannedChange {
  readonly verb: Verb;
  readonly object: string;
  readonly changes: readonly string[];
}

/** What brings a server to what a file declares, in the order in which it is done. */
export interface Plan {
  readonly changes: readonly PlannedChange[];
  /** Gateways that have to be gone before the rest: their names and addresses are needed again. */
  readonly deletions: readonly Step[];
  /** All the rest, which is done at once. */
  readonly steps: readonly Step[];
  /** Objects that the file does not name and that stay. */
  readonly kept: readonly string[];
  readonly unchanged: number;
}

interface PolicyKind {
  readonly word: 'ike_policy' | 'ipsec_policy';
  readonly list: 'ike_policies' | 'ipsec_policies';
  readonly title: string;
}

const IKE: PolicyKind = { word: 'ike_policy', list: 'ike_policies', title: 'IKE policy' };
const IPSEC: PolicyKind = { word: 'ipsec_policy', list: 'ipsec_policies', title: 'IPsec policy' };

/** The way from what is there to what the document says. With `prune` the rest is deleted. */
export function makePlan(document: Document, current: Current, prune: boolean): Plan {
  const planner = new Planner(document, prune);
  planner.policies(IKE, document.ikePolicies, current.ikePolicies);
  planner.policies(IPSEC, document.ipsecPolicies, current.ipsecPolicies);
  planner.gateways(current);
  planner.routing(current);
  return planner.plan();
}

/** A gateway of the file with what is known of its surroundings. */
interface PlacedGateway {
  readonly wish: GatewayWish;
  readonly place: ConfigPath;
  readonly subnet: ApiObject;
  readonly vpc: string;
}

interface Owner {
  readonly name: string;
  readonly reference: NonNullable<StepRequest['gateway']>;
}

class Planner {
  readonly #document: Document;
  readonly #prune: boolean;
  readonly #changes: PlannedChange[] = [];
  readonly #deletions: Step[] = [];
  readonly #steps: Step[] = [];
  readonly #kept: string[] = [];
  #unchanged = 0;

  constructor(document: Document, prune: boolean) {
    this.#document = document;
    this.#prune = prune;
  }

  plan(): Plan {
    return {
      changes: this.#changes,
      deletions: this.#deletions,
      steps: this.#steps,
      kept: this.#kept,
      unchanged: this.#unchanged,
    };
  }

  policies<T extends { readonly name: string }>(
    { word, list, title }: PolicyKind,
    wanted: readonly T[],
    known: readonly Known<T>[],
  ): void {
    for (const [index, wish] of wanted.entries()) {
      const about = { object: `${title} ${wish.name}`, place: [list, index] };
      const found = known.find((one) => one.wish.name === wish.name);
      if (found === undefined) {
        this.#change('create', about.object, []);
        this.#steps.push({ ...about, request: { operation: `create_${word}`, body: wish } });
        continue;
      }
      const differing = Object.keys(wish).filter((field) => differ(at(wish, field), at(found.wish, field)));
      if (differing.length === 0) {
        this.#unchanged++;
        continue;
      }
      const texts = differing.map((field) => told(field, at(found.wish, field), at(wish, field)));
      this.#change('update', about.object, texts);
      // Algorithms of a policy depend on each other: all are sent.
      this.#steps.push({ ...about, request: { operation: `update_${word}`, id: found.id, body: wish } });
    }
    for (const { id, wish } of known) {
      if (wanted.some(({ name }) => name === wish.name)) continue;
      const object = `${title} ${wish.name}`;
      this.#surplus(this.#steps, { object, request: { operation: `delete_${word}`, id } });
    }
  }

  gateways({ gateways, subnets }: Current): void {
    const placed = this.#document.gateways.map((wish, index): PlacedGateway => {
      const place = ['vpn_gateways', index];
      const subnet = this.#subnetOf(wish, place, subnets);
      return { wish, place, subnet, vpc: (subnet.vpc as ApiObject).id };
    });
    const matches = new Map<PlacedGateway, KnownGateway>();
    for (const one of placed) {
      const found = gateways.find((known) => known.wish.name === one.wish.name && known.vpc === one.vpc);
      if (found !== undefined) matches.set(one, found);
    }
    const surplus = gateways.filter((known) => ![...matches.values()].includes(known));
    if (this.#prune) {
      const fresh = placed.filter((one) => !matches.has(one));
      for (const [one, known] of unambiguousPairs(fresh, surplus, isRenamed)) matches.set(one, known);
    }
    for (const one of placed) this.#gateway(one, matches.get(one));
    for (const known of surplus) {
      if ([...matches.values()].includes(known)) continue;
      const object = `gateway ${known.wish.name} with its ${known.connections.length} connections`;
      this.#surplus(this.#deletions, { object, request: { operation: 'delete_vpn_gateway', id: known.id } });
    }
  }

  routing(current: Current): void {
    const leaving = (steps: readonly Step[], operation: string): ReadonlySet<string> =>
      new Set(steps.flatMap(({ request }) => (request.operation === operation ? (request.id ?? []) : [])));
    planRouting(current, {
      document: this.#document,
      prune: this.#prune,
      leavingGateways: leaving(this.#deletions, 'delete_vpn_gateway'),
      leavingConnections: leaving(this.#steps, 'delete_vpn_gateway_connection'),
      change: (verb, object, changes) => this.#change(verb, object, changes),
      step: (step, first = false) => void (first ? this.#deletions : this.#steps).push(step),
      keep: (object) => void this.#kept.push(object),
      unchanged: () => void this.#unchanged++,
    });
  }

  #gateway(one: PlacedGateway, found: KnownGateway | undefined): void {
    const { wish, place, subnet } = one;
    const object = `gateway ${wish.name}`;
    if (found === undefined) {
      this.#change('create', object, []);
      this.#create(one, []);
      return;
    }
    const moved = [
      ...(found.wish.subnet === subnet.name ? [] : [told('subnet', found.wish.subnet, subnet.name)]),
      ...(found.wish.mode === wish.mode ? [] : [told('mode', found.wish.mode, wish.mode)]),
    ];
    if (moved.length > 0) {
      this.#change('replace', object, moved);
      this.#deletions.push({ object, place, request: { operation: 'delete_vpn_gateway', id: found.id } });
      this.#create(one, found.connections);
      return;
    }
    if (found.wish.name === wish.name) {
      this.#unchanged++;
    } else {
      this.#change('update', object, [told('name', found.wish.name, wish.name)]);
      const request = { operation: 'update_vpn_gateway', id: found.id, body: { name: wish.name } };
      this.#steps.push({ object, place, request });
    }
    this.#connections(one, found);
  }

  /** `known` are the connections of a gateway that this one replaces: they know the keys. */
  #create({ wish, place, subnet, vpc }: PlacedGateway, known: readonly Known<ConnectionWish>[]): void {
    const { name, mode } = wish;
    const body = { name, mode, subnet: { id: subnet.id } };
    this.#steps.push({
      object: `gateway ${name}`,
      place,
      request: { operation: 'create_vpn_gateway', body },
    });
    const owner = { name, reference: { name, vpc: { id: vpc } } };
    for (const [index, connection] of wish.connections.entries()) {
      const psk = connection.psk ?? known.find((one) => one.wish.name === connection.name)?.wish.psk;
      const whole = { ...connection, ...(psk === undefined ? {} : { psk }) };
      this.#createConnection(owner, whole, [...place, 'connections', index]);
    }
  }

  #createConnection(owner: Owner, wish: ConnectionWish, place: ConfigPath): void {
    const object = `connection ${wish.name} of ${owner.name}`;
    if (wish.psk === undefined) {
      const where = this.#document.locate(place);
      throw new CliError(`${where}: ${object} is to be made: it needs "psk" or "psk_file"`);
    }
    this.#change('create', object, []);
    const request = {
      operation: 'create_vpn_gateway_connection',
      gateway: owner.reference,
      body: newConnection(wish),
    };
    this.#steps.push({ object, place, request });
  }

  #connections({ wish, place }: PlacedGateway, { id, addresses, connections }: KnownGateway): void {
    const owner = { name: wish.name, reference: { id } };
    const wanted = wish.connections.map((one, index) => ({
      // In policy mode the field is accepted and ignored.
      wish: wish.mode === 'policy' ? { ...one, distribute_traffic: false } : one,
      place: [...place, 'connections', index],
    }));
    const matches = new Map<(typeof wanted)[number], Known<ConnectionWish>>();
    for (const one of wanted) {
      const found = connections.find((known) => known.wish.name === one.wish.name);
      if (found !== undefined) matches.set(one, found);
    }
    const surplus = connections.filter((known) => ![...matches.values()].includes(known));
    if (this.#prune) {
      const fresh = wanted.filter((one) => !matches.has(one));
      const pairs = unambiguousPairs(fresh, surplus, (one, known) =>
        haveSameEnds(known.wish, one.wish, addresses),
      );
      for (const [one, known] of pairs) matches.set(one, known);
    }
    for (const one of wanted) {
      const found = matches.get(one);
      if (found === undefined) this.#createConnection(owner, one.wish, one.place);
      else this.#updateConnection(owner, found, one.wish, { place: one.place, addresses });
    }
    for (const known of surplus) {
      if ([...matches.values()].includes(known)) continue;
      const object = `connection ${known.wish.name} of ${wish.name}`;
      const request = {
        operation: 'delete_vpn_gateway_connection',
        gateway: owner.reference,
        id: known.id,
      };
      this.#surplus(this.#steps, { object, request });
    }
  }

  #updateConnection(
    owner: Owner,
    { id, wish: before }: Known<ConnectionWish>,
    after: ConnectionWish,
    { place, addresses }: { readonly place: ConfigPath; readonly addresses: readonly string[] },
  ): void {
    const { body, texts } = connectionDifference(before, after, addresses);
    if (texts.length === 0) {
      this.#unchanged++;
      return;
    }
    const object = `connection ${after.name} of ${owner.name}`;
    this.#change('update', object, texts);
    const operation = 'update_vpn_gateway_connection';
    this.#steps.push({ object, place, request: { operation, gateway: owner.reference, id, body } });
  }

  #surplus(steps: Step[], step: Step): void {
    if (!this.#prune) {
      this.#kept.push(step.object);
      return;
    }
    this.#change('delete', step.object, []);
    steps.push(step);
  }

  #change(verb: Verb, object: string, changes: readonly string[]): void {
    this.#changes.push({ verb, object, changes });
  }

  #subnetOf({ name, subnet }: GatewayWish, place: ConfigPath, subnets: readonly ApiObject[]): ApiObject {
    const found = subnets.find((one) => one.id === subnet || one.name === subnet);
    if (found !== undefined) return found;
    const where = this.#document.locate([...place, 'subnet']);
    const hint = suggestion(
      subnet,
      subnets.map((one) => one.name),
    );
    throw new CliError(`${where}: gateway ${name}: there is no subnet "${subnet}"${hint}`);
  }
}

/** Whether a gateway that the file does not name is one of the file under another name: in place and connections. */
function isRenamed({ wish, subnet, vpc }: PlacedGateway, known: KnownGateway): boolean {
  if (known.vpc !== vpc || known.wish.subnet !== subnet.name || known.wish.mode !== wish.mode) return false;
  if (wish.connections.length === 0) return known.connections.length === 0;
  return wish.connections.some((one) =>
    known.connections.some(
      (other) => other.wish.name === one.name && haveSameEnds(other.wish, one, known.addresses),
    ),
  );
}
