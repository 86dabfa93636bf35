import type { StoredObject } from '../../store/store.js';
import type { Static } from '../../util/json-schema.js';
import { BodyReader } from '../bodies.js';
import type { ApiContext, Transaction, View } from '../context.js';
import { ApiError, badField } from '../errors.js';
import { answered, type BodyOf, type Call, type Operation, operation } from '../operation.js';
import { keepRoutedGatewayLater } from '../routing/in-use.js';
import * as Schemas from '../schemas/answers.js';
import { transactionBody } from '../schemas/requests.js';
import { changeConnection, createConnection, deleteConnection } from './connection-changes.js';
import { createGateway, deleteGateway, patchGateway, removeGateway } from './gateways.js';
import { ikePolicyChanges, ipsecPolicyChanges } from './policies.js';
import {
  changeRoute,
  changeTable,
  createRoute,
  createTable,
  deleteRoute,
  deleteTable,
} from './routing-changes.js';
import { tableNamed, withNextHop } from './routing-names.js';
import { findGateway } from './shared.js';
import { attachNamedTable } from './subnet-changes.js';

/** Octets of the longest transaction: a file of a thousand connections, as `culvert apply` reads it, has less. */
const BODY_LIMIT = 4 * 1024 * 1024;

interface StepKind {
  /** What the step names beside its operation. */
  readonly needs: readonly ('gateway' | 'vpc' | 'table' | 'id' | 'body')[];
  /** Returns the id of the object. @throws ApiError */
  work(transaction: Transaction, call: Call, context: ApiContext): string;
}

/**
 * The operations that a transaction can contain, in the order in which they are worked out whatever the order of the
 * steps: what is gone is in no other step's way, and what is named by others is there before they are.
 */
const STEPS = {
  delete_vpc_routing_table_route: { needs: ['vpc', 'table', 'id'], work: deleteRoute },
  delete_vpn_gateway_connection: { needs: ['gateway', 'id'], work: deleteConnection },
  delete_vpn_gateway: { needs: ['id'], work: deleteGateway },
  delete_ike_policy: { needs: ['id'], work: ikePolicyChanges.delete },
  delete_ipsec_policy: { needs: ['id'], work: ipsecPolicyChanges.delete },
  create_ike_policy: { needs: ['body'], work: ikePolicyChanges.create },
  update_ike_policy: { needs: ['id', 'body'], work: ikePolicyChanges.update },
  create_ipsec_policy: { needs: ['body'], work: ipsecPolicyChanges.create },
  update_ipsec_policy: { needs: ['id', 'body'], work: ipsecPolicyChanges.update },
  create_vpn_gateway: { needs: ['body'], work: createGateway },
  update_vpn_gateway: { needs: ['id', 'body'], work: patchGateway },
  create_vpn_gateway_connection: { needs: ['gateway', 'body'], work: createConnection },
  update_vpn_gateway_connection: { needs: ['gateway', 'id', 'body'], work: changeConnection },
  create_vpc_routing_table: { needs: ['vpc', 'body'], work: createTable },
  update_vpc_routing_table: { needs: ['vpc', 'id', 'body'], work: changeTable },
  create_vpc_routing_table_route: { needs: ['vpc', 'table', 'body'], work: createRoute },
  update_vpc_routing_table_route: { needs: ['vpc', 'table', 'id', 'body'], work: changeRoute },
  replace_subnet_routing_table: { needs: ['vpc', 'table', 'id'], work: attachNamedTable },
  delete_vpc_routing_table: { needs: ['vpc', 'id'], work: deleteTable },
} as const satisfies Readonly<Record<string, StepKind>>;
type StepName = keyof typeof STEPS;

const ORDER = Object.keys(STEPS) as StepName[];
const FIELDS = ['gateway', 'vpc', 'table', 'id', 'body'] as const;
const schema = transactionBody(ORDER);
const reader = new BodyReader(schema);
type Step = Static<typeof schema>['steps'][number];
type GatewayReference = NonNullable<Step['gateway']>;

export const transactionOperations: readonly Operation[] = [
  operation({
    tag: 'Transaction',
    method: 'POST',
    path: '/transactions',
    prefixes: ['/culvert/v1'],
    id: 'create_transaction',
    summary:
      'Make several changes at once, or none: rules are held against what all of them lead to, in whatever order they stand. With dry_run nothing is changed, and gateways that are deleted count as gone',
    body: schema,
    bodyLimit: BODY_LIMIT,
    success: { 200: Schemas.TransactionOutcome },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => workOut(transaction, call, context),
        (body) => answered(200, body),
      );
    },
  }),
];

function workOut(
  transaction: Transaction,
  call: Call,
  context: ApiContext,
): BodyOf<typeof Schemas.TransactionOutcome> {
  const { dry_run: dryRun = false, steps } = reader.read(call.body());
  if (dryRun) {
    for (const { id, value } of transaction.view.gateways()) {
      if (value.lifecycle === 'deleting') removeGateway(transaction, id);
    }
  }
  const numbered = steps.map((step, index) => ({ step, index }));
  const rank = ({ step }: { readonly step: Step }): number => ORDER.indexOf(step.operation);
  const ids = new Map<number, string>();
  const faults = new Map<number, ApiError>();
  for (const { step, index } of numbered.sort((a, b) => rank(a) - rank(b))) {
    try {
      ids.set(index, workOutStep(transaction, step, `steps[${index}]`, { call, context, dryRun }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      faults.set(index, error);
    }
  }
  if (faults.size > 0) {
    throw ApiError.together([...faults].sort(([a], [b]) => a - b).map(([, fault]) => fault));
  }
  transaction.settle();
  if (dryRun) transaction.discard();
  return {
    dry_run: dryRun,
    steps: steps.map(({ operation }, index) =>
      dryRun && operation.startsWith('create_') ? { operation } : { operation, id: ids.get(index)! },
    ),
  };
}

interface Surroundings {
  readonly call: Call;
  readonly context: ApiContext;
  readonly dryRun: boolean;
}

function workOutStep(
  transaction: Transaction,
  step: Step,
  place: string,
  { call, context, dryRun }: Surroundings,
): string {
  const { needs, work }: StepKind = STEPS[step.operation];
  const inner = transaction.within(
    (error) => error.within(place, place),
    (): Call => {
      checkFields(step, needs);
      const { view } = transaction;
      const owner = step.gateway === undefined ? undefined : gatewayOf(step.gateway, view);
      const vpc = step.vpc === undefined ? undefined : (step.vpc.id ?? '');
      const table = step.table === undefined ? undefined : tableNamed(step.table, vpc ?? '', view);
      const body =
        step.body === undefined ? undefined : withNextHop(withPolicies(step.body, view), vpc, view);
      const params = {
        ...(owner === undefined ? {} : { gateway: owner }),
        ...(vpc === undefined ? {} : { vpc }),
        ...(table === undefined ? {} : { table }),
        ...(step.id === undefined ? {} : { id: step.id }),
      };
      const headers = step.if_match === undefined ? {} : { 'if-match': step.if_match };
      return { ...call, headers, params, body: () => body };
    },
  );
  return transaction.within(
    (error) => error.within(place, `${place}.body`),
    () => {
      if (step.operation !== 'delete_vpn_gateway' || !dryRun) return work(transaction, inner, context);
      // It ends at some later time, when it is no longer pending either: what counts is the state after that.
      const { id } = findGateway(transaction.view, step.id!);
      keepRoutedGatewayLater(transaction, id);
      removeGateway(transaction, id);
      return id;
    },
  );
}

function checkFields(step: Step, needs: StepKind['needs']): void {
  for (const field of FIELDS) {
    const isGiven = step[field] !== undefined;
    if (isGiven === needs.includes(field)) continue;
    if (!isGiven)
      throw badField(field, 'validation_required_field', `is missing: ${step.operation} needs it`);
    throw badField(field, 'bad_field', `is not for ${step.operation}: leave it out`);
  }
}

/** @throws ApiError 400 for a name without its VPC that two gateways have, 404 */
function gatewayOf({ id, name, vpc }: GatewayReference, view: View): string {
  if ((id === undefined) === (name === undefined)) {
    throw badField('gateway', 'validation_only_one', 'needs an id or a name, and one of them');
  }
  if (id !== undefined) return id;
  const found = view
    .gateways()
    .filter(({ value }) => value.name === name && (vpc?.id === undefined || value.vpc === vpc.id));
  if (found.length > 1) {
    throw badField('gateway', 'validation_failure', `"${name}" is the name of two gateways: add vpc.id`);
  }
  if (found.length === 1) return found[0]!.id;
  const target = { name: 'gateway', type: 'field' } as const;
  throw new ApiError(404, 'vpn_gateway_not_found', `there is no VPN gateway "${name}"`, target);
}

/** A body with the ids of the policies that it names, which may have been made by the same transaction. */
function withPolicies(body: object, view: View): object {
  const out: Record<string, unknown> = { ...body };
  for (const [field, policies] of [
    ['ike_policy', view.ikePolicies()],
    ['ipsec_policy', view.ipsecPolicies()],
  ] as const) {
    const name = nameIn(out[field]);
    if (name !== undefined) out[field] = { id: policyOf(name, policies, field) };
  }
  return out;
}

function nameIn(reference: unknown): string | undefined {
  if (typeof reference !== 'object' || reference === null) return undefined;
  const fields = Object.entries(reference);
  const [field, name] = fields[0] ?? [];
  return fields.length === 1 && field === 'name' && typeof name === 'string' ? name : undefined;
}

function policyOf(
  name: string,
  policies: readonly StoredObject<{ readonly name: string }>[],
  field: 'ike_policy' | 'ipsec_policy',
): string {
  const found = policies.find(({ value }) => value.name === name);
  if (found !== undefined) return found.id;
  const kind = field === 'ike_policy' ? 'IKE' : 'IPsec';
  const target = { name: `body.${field}`, type: 'field' } as const;
  throw new ApiError(404, `${field}_not_found`, `there is no ${kind} policy "${name.slice(0, 63)}"`, target);
}
