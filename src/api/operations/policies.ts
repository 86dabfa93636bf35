import { isDeepStrictEqual } from 'node:util';
import type { ConfigIssue } from '../../store/config-error.js';
import { readIkePolicy, readIpsecPolicy } from '../../store/policy-rules.js';
import { type IkePolicyRecord, type IpsecPolicyRecord, KIND } from '../../store/records.js';
import type { IkePolicyInput, IpsecPolicyInput } from '../../store/schema.js';
import type { Site } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import { BodyReader } from '../bodies.js';
import { checkPolicyVersion } from '../connection-checks.js';
import { type ApiContext, type Transaction, View } from '../context.js';
import { ikePolicyInput, ipsecPolicyInput } from '../desired.js';
import type { Dialect } from '../dialect.js';
import { ApiError, badField, refuseIssues } from '../errors.js';
import { newId, newName } from '../ids.js';
import type { Call, Operation } from '../operation.js';
import { NO_CONTENT } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import type { Links } from '../render/links.js';
import { ikePolicyAnswer, ipsecPolicyAnswer } from '../render/policies.js';
import { ikePolicyBodies, ipsecPolicyBodies } from '../schemas/requests.js';
import { pageOfConnections } from './connection-list.js';
import { byAge, checkName, checkQuota, namesOf, PAGE_QUERY, resourceGroupOf } from './shared.js';
import { byDialect, NEWEST } from './variants.js';

type Body = Readonly<Record<string, unknown>> & {
  readonly name?: string;
  readonly resource_group?: { readonly id: string };
};

/** What the two kinds of policy do not have in common. */
interface PolicyKind<R extends Common> {
  readonly kind: string;
  readonly path: 'ike_policies' | 'ipsec_policies';
  /** `ike_policy`: in error codes. */
  readonly word: 'ike_policy' | 'ipsec_policy';
  /** `IKEPolicy`: in operation ids and schema names. */
  readonly title: string;
  readonly label: string;
  readonly quota: 'ike_policies' | 'ipsec_policies';
  readonly audit: string;
  readonly bodies: (dialect: Dialect) => { readonly create: object; readonly patch: object };
  /** Pairs of the singular and the array form of a category. */
  readonly categories: readonly (readonly [string, string])[];
  readonly usedBy: 'ikePolicy' | 'ipsecPolicy';
  /** The record that the fields make, and what is wrong with them. */
  build(fields: object, common: Common, site: Site, issues: ConfigIssue[]): R;
  /** Refuses what connections that use the policy could not bear. @throws ApiError 400 */
  checkUsers?(id: string, view: View, site: Site): void;
  input(name: string, record: R): object;
  answer(object: StoredObject<R>, view: View, links: Links, dialect: Dialect): object;
}

interface Common {
  readonly name: string;
  readonly createdAt: string;
  readonly resourceGroup: string;
}

const IKE: PolicyKind<IkePolicyRecord> = {
  kind: KIND.ikePolicy,
  path: 'ike_policies',
  word: 'ike_policy',
  title: 'IKEPolicy',
  label: 'IKE policy',
  quota: 'ike_policies',
  audit: 'is.vpn.ike-policy',
  bodies: ikePolicyBodies,
  categories: [
    ['authentication_algorithm', 'authentication_algorithms'],
    ['encryption_algorithm', 'encryption_algorithms'],
    ['dh_group', 'dh_groups'],
  ],
  usedBy: 'ikePolicy',
  build(fields, common, site, issues) {
    const input = { ...fields, name: 'policy' } as IkePolicyInput;
    const policy = readIkePolicy({ path: [], input }, site.profile, issues);
    const { ikeVersion, encryption, authentication, dhGroups, keyLifetime } = policy;
    return { ...common, ikeVersion, encryption, authentication, dhGroups, keyLifetime };
  },
  checkUsers: checkPolicyVersion,
  input: ikePolicyInput,
  answer: ikePolicyAnswer,
};

const IPSEC: PolicyKind<IpsecPolicyRecord> = {
  kind: KIND.ipsecPolicy,
  path: 'ipsec_policies',
  word: 'ipsec_policy',
  title: 'IPsecPolicy',
  label: 'IPsec policy',
  quota: 'ipsec_policies',
  audit: 'is.vpn.ipsec-policy',
  bodies: ipsecPolicyBodies,
  categories: [
    ['authentication_algorithm', 'authentication_algorithms'],
    ['encryption_algorithm', 'encryption_algorithms'],
    ['pfs', 'pfs_groups'],
  ],
  usedBy: 'ipsecPolicy',
  build(fields, common, site, issues) {
    const input = { ...fields, name: 'policy' } as IpsecPolicyInput;
    const policy = readIpsecPolicy({ path: [], input }, site.profile, issues);
    const { encryption, authentication, keyLifetime } = policy;
    const pfsGroups = [input.pfs_groups ?? input.pfs ?? []].flat();
    return { ...common, encryption, authentication, pfsGroups, keyLifetime };
  },
  input: ipsecPolicyInput,
  answer: ipsecPolicyAnswer,
};

/** The changes of one kind of policy, each of which gives back the id. @throws ApiError */
export interface PolicyChanges {
  readonly create: (transaction: Transaction, call: Call, context: ApiContext) => string;
  readonly update: (transaction: Transaction, call: Call, context: ApiContext) => string;
  readonly delete: (transaction: Transaction, call: Call) => string;
}

export const ikePolicyChanges = changesOf(IKE);
export const ipsecPolicyChanges = changesOf(IPSEC);
export const ikePolicyOperations = operationsOf(IKE, ikePolicyChanges);
export const ipsecPolicyOperations = operationsOf(IPSEC, ipsecPolicyChanges);

function find<R extends Common>(
  { kind, word, label }: PolicyKind<R>,
  view: View,
  id: string,
): StoredObject<R> {
  const found = view.snapshot.get<R>(kind, id);
  if (found !== undefined) return found;
  throw new ApiError(404, `${word}_not_found`, `there is no ${label} with this id`);
}

function connectionsOf<R extends Common>({ usedBy }: PolicyKind<R>, view: View, id: string) {
  return view.connections().filter(({ value }) => value[usedBy] === id);
}

function changesOf<R extends Common>(kind: PolicyKind<R>): PolicyChanges {
  const { path, word, label, audit } = kind;
  const codes = { bad_name: `${word}_invalid_name` } as const;
  const readers = byDialect((dialect) => {
    const bodies = kind.bodies(dialect);
    return {
      create: new BodyReader<Body>(bodies.create, { codes }),
      patch: new BodyReader<Body>(bodies.patch, { codes }),
    };
  });
  const listOf = (view: View): readonly StoredObject<R>[] => view.snapshot.list<R>(kind.kind);
  const checkNameLater = (transaction: Transaction, id: string): void =>
    transaction.later(`name of ${id}`, (view) => checkName(id, listOf(view), `${word}_duplicate_name`));
  return {
    create(transaction, call, { site, now }) {
      const body = readers.of(call.dialect).create.read(call.body());
      for (const pair of kind.categories) requireEither(body, pair);
      const { name = newName(namesOf(listOf(transaction.view))), resource_group, ...fields } = body;
      const resourceGroup = resourceGroupOf(resource_group, site);
      const issues: ConfigIssue[] = [];
      const common = { name, createdAt: now().toISOString(), resourceGroup };
      const record = kind.build(fields, common, site, issues);
      refuseIssues(issues);
      const id = newId('r006', call.dialect);
      checkNameLater(transaction, id);
      transaction.later(path, (view) => {
        const most = site.quotas[kind.quota];
        checkQuota(listOf(view).length, most, `${path}_quota_exceeded`, `${label} objects`);
      });
      transaction.put(kind.kind, id, record, `${audit}.create`);
      return id;
    },
    update(transaction, call, { site }) {
      const { id, value: before } = find(kind, transaction.view, call.params.id!);
      const { name = before.name, ...fields } = readers.of(call.dialect).patch.read(call.body());
      const issues: ConfigIssue[] = [];
      const merged = mergeFields(kind.input(name, before), fields, kind.categories);
      const { createdAt, resourceGroup } = before;
      const record = kind.build(merged, { name, createdAt, resourceGroup }, site, issues);
      refuseIssues(issues);
      if (isDeepStrictEqual(before, record)) return id;
      checkNameLater(transaction, id);
      transaction.later(`users of ${id}`, (view) => kind.checkUsers?.(id, view, site));
      transaction.put(kind.kind, id, record, `${audit}.update`);
      return id;
    },
    delete(transaction, call) {
      const { id, value } = find(kind, transaction.view, call.params.id!);
      transaction.later(`users of ${id}`, (view) => {
        const users = connectionsOf(kind, view, id);
        if (users.length === 0) return;
        const names = users.map((user) => user.value.name).join(', ');
        const message = `${label} ${value.name} is used by ${names}: give these another policy first`;
        throw new ApiError(409, `${word}_in_use`, message);
      });
      transaction.delete(kind.kind, id, `${audit}.delete`);
      return id;
    },
  };
}

function operationsOf<R extends Common>(kind: PolicyKind<R>, changes: PolicyChanges): readonly Operation[] {
  const { path, word, title, label } = kind;
  const answer = (id: string, view: View, call: Call): object =>
    kind.answer(find(kind, view, id), view, call.links, call.dialect);
  const shared = { tag: label };
  return [
    {
      ...shared,
      method: 'GET',
      path: `/${path}`,
      id: `list_${path}`,
      summary: `List the ${label} objects`,
      query: PAGE_QUERY,
      success: { 200: `${title}Collection` },
      errors: [400],
      async handle(call, { store }) {
        const view = new View(await store.snapshot());
        const rows = view.snapshot.list<R>(kind.kind).map((item) => ({ item, key: byAge(item) }));
        const url = `${call.links.base}/${path}`;
        const { items, frame } = pageOf(rows, readPage(call.query, 50), true, url, {});
        const list = items.map((item) => kind.answer(item, view, call.links, call.dialect));
        return { status: 200, body: { ...frame, [path]: list } };
      },
    },
    {
      ...shared,
      method: 'POST',
      path: `/${path}`,
      id: `create_${word}`,
      summary: `Create an ${label}`,
      body: kind.bodies(NEWEST).create,
      success: { 201: title },
      errors: [400, 404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => changes.create(transaction, call, context),
          (id, view) => ({ status: 201, body: answer(id, view, call) }),
        );
      },
    },
    {
      ...shared,
      method: 'GET',
      path: `/${path}/:id`,
      id: `get_${word}`,
      summary: `Retrieve an ${label}`,
      success: { 200: title },
      errors: [404],
      async handle(call, { store }) {
        return { status: 200, body: answer(call.params.id!, new View(await store.snapshot()), call) };
      },
    },
    {
      ...shared,
      method: 'PATCH',
      path: `/${path}/:id`,
      id: `update_${word}`,
      summary: `Update an ${label}`,
      body: kind.bodies(NEWEST).patch,
      success: { 200: title },
      errors: [400, 404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => changes.update(transaction, call, context),
          (id, view) => ({ status: 200, body: answer(id, view, call) }),
        );
      },
    },
    {
      ...shared,
      method: 'DELETE',
      path: `/${path}/:id`,
      id: `delete_${word}`,
      summary: `Delete an ${label}`,
      success: { 204: null },
      errors: [404, 409],
      async handle(call, { writes }) {
        return writes.run(
          call.actor,
          (transaction) => changes.delete(transaction, call),
          () => NO_CONTENT,
        );
      },
    },
    {
      ...shared,
      method: 'GET',
      path: `/${path}/:id/connections`,
      id: `list_${word}_connections`,
      summary: `List the connections that use an ${label}`,
      query: PAGE_QUERY,
      success: { 200: 'VPNGatewayConnectionCollection' },
      errors: [400, 404],
      async handle(call, context) {
        const view = new View(await context.store.snapshot());
        const { id } = find(kind, view, call.params.id!);
        const url = `${call.links.base}/${path}/${id}/connections`;
        return pageOfConnections(connectionsOf(kind, view, id), view, call, context, url, 50);
      },
    },
  ];
}

function requireEither(body: Body, [one, many]: readonly [string, string]): void {
  if (body[one] !== undefined || body[many] !== undefined) return;
  throw badField(one, 'validation_required_field', `is missing: give it, or ${many}`);
}

/** The fields of a policy as a patch leaves them; of a category that the patch names, the old form goes. */
function mergeFields(
  before: object,
  patch: Readonly<Record<string, unknown>>,
  categories: readonly (readonly [string, string])[],
): object {
  const kept = new Map(Object.entries(before));
  for (const [one, many] of categories) {
    if (patch[one] !== undefined || patch[many] !== undefined) kept.delete(many);
  }
  return { ...Object.fromEntries(kept), ...patch };
}
