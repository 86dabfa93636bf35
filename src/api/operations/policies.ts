import { isDeepStrictEqual } from 'node:util';
import type { Profile } from '../../ike/policy/matrix.js';
import type { ConfigIssue } from '../../store/config-error.js';
import {
  checkIkePolicy,
  checkIpsecPolicy,
  completedIkePolicy,
  hashesOf,
  readIkePolicy,
  readIpsecPolicy,
} from '../../store/policy-rules.js';
import { type IkePolicyRecord, type IpsecPolicyRecord, KIND } from '../../store/records.js';
import { ALGORITHM_FIELDS } from '../../store/schema.js';
import type { Site } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import type { Static } from '../../util/json-schema.js';
import { checkPolicyVersion } from '../connection-checks.js';
import { type ApiContext, type Transaction, View } from '../context.js';
import type { Dialect } from '../dialect.js';
import { ApiError, badField, refuseIssues } from '../errors.js';
import { newId, newName } from '../ids.js';
import { answered, type BodyOf, type Call, done, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import type { Links } from '../render/links.js';
import { ikePolicyAnswer, ipsecPolicyAnswer } from '../render/policies.js';
import type { NamedSchema, PageFrame } from '../schemas/answer-parts.js';
import { Connections, IkePolicies, IkePolicy, IpsecPolicies, IpsecPolicy } from '../schemas/answers.js';
import { ikePolicyBodies, ipsecPolicyBodies } from '../schemas/requests.js';
import { pageOfConnections } from './connection-list.js';
import { byAge, checkName, checkQuota, namesOf, PAGE_QUERY, resourceGroupOf } from './shared.js';
import { NEWEST, readersOf, type Variants } from './variants.js';

type IkeBodies = ReturnType<typeof ikePolicyBodies>;
type IpsecBodies = ReturnType<typeof ipsecPolicyBodies>;
/** The fields of a body, some of which a change leaves out. */
type IkeBody = Static<IkeBodies['create']> | Static<IkeBodies['patch']>;
type IpsecBody = Static<IpsecBodies['create']> | Static<IpsecBodies['patch']>;
interface PolicyBody {
  readonly name?: string;
  readonly resource_group?: { readonly id: string };
}

/** What the two kinds of policy do not have in common. */
interface PolicyKind<R extends Common, B extends PolicyBody> {
  readonly kind: string;
  readonly path: 'ike_policies' | 'ipsec_policies';
  /** `ike_policy`: in error codes. */
  readonly word: 'ike_policy' | 'ipsec_policy';
  readonly label: string;
  readonly quota: 'ike_policies' | 'ipsec_policies';
  readonly audit: string;
  readonly readers: Variants<{ readonly create: Reader<B>; readonly patch: Reader<B> }>;
  /** Those of the newest version, for the document. */
  readonly bodies: { readonly create: object; readonly patch: object };
  /** Names of the singular and the array form of each category, in the order in which missing ones are named. */
  readonly categories: readonly { readonly one: string; readonly many: string }[];
  readonly usedBy: 'ikePolicy' | 'ipsecPolicy';
  /** The record that a body makes of the one before, if there is one, and what is wrong with it. */
  build(
    body: B,
    common: Common,
    before: R | undefined,
    profile: Profile,
  ): { record: R; issues: ConfigIssue[] };
  /** Refuses what connections that use the policy could not bear. @throws ApiError 400 */
  checkUsers?(id: string, view: View, site: Site): void;
}

/** How policies of one kind are answered. */
interface PolicyAnswers<R, One extends NamedSchema, Page extends NamedSchema> {
  readonly schema: One;
  readonly pageSchema: Page;
  answer(object: StoredObject<R>, view: View, links: Links, dialect: Dialect): BodyOf<One>;
  page(frame: PageFrame, policies: readonly BodyOf<One>[]): BodyOf<Page>;
}

interface Reader<B> {
  read(body: unknown): B;
}

interface Common {
  readonly name: string;
  readonly createdAt: string;
  readonly resourceGroup: string;
}

const IKE: PolicyKind<IkePolicyRecord, IkeBody> = {
  kind: KIND.ikePolicy,
  path: 'ike_policies',
  word: 'ike_policy',
  label: 'IKE policy',
  quota: 'ike_policies',
  audit: 'is.vpn.ike-policy',
  readers: readersOf(ikePolicyBodies, { codes: { bad_name: 'ike_policy_invalid_name' } }),
  bodies: ikePolicyBodies(NEWEST),
  categories: categoriesOf('ike'),
  usedBy: 'ikePolicy',
  build(body, common, before, profile) {
    const issues: ConfigIssue[] = [];
    const { settings, place } = readIkePolicy([], body, issues, before);
    checkIkePolicy(settings, place, profile, issues);
    return { record: { ...completedIkePolicy(settings), ...common }, issues };
  },
  checkUsers: checkPolicyVersion,
};

const IKE_ANSWERS: PolicyAnswers<IkePolicyRecord, typeof IkePolicy, typeof IkePolicies> = {
  schema: IkePolicy,
  pageSchema: IkePolicies,
  answer: ikePolicyAnswer,
  page: (frame, policies) => ({ ...frame, ike_policies: policies }),
};

const IPSEC: PolicyKind<IpsecPolicyRecord, IpsecBody> = {
  kind: KIND.ipsecPolicy,
  path: 'ipsec_policies',
  word: 'ipsec_policy',
  label: 'IPsec policy',
  quota: 'ipsec_policies',
  audit: 'is.vpn.ipsec-policy',
  readers: readersOf(ipsecPolicyBodies, { codes: { bad_name: 'ipsec_policy_invalid_name' } }),
  bodies: ipsecPolicyBodies(NEWEST),
  categories: categoriesOf('ipsec'),
  usedBy: 'ipsecPolicy',
  build(body, common, before, profile) {
    const issues: ConfigIssue[] = [];
    const { settings, place } = readIpsecPolicy([], body, issues, before);
    checkIpsecPolicy(settings, place, profile, issues);
    return { record: { ...settings, authentication: hashesOf(settings), ...common }, issues };
  },
};

const IPSEC_ANSWERS: PolicyAnswers<IpsecPolicyRecord, typeof IpsecPolicy, typeof IpsecPolicies> = {
  schema: IpsecPolicy,
  pageSchema: IpsecPolicies,
  answer: ipsecPolicyAnswer,
  page: (frame, policies) => ({ ...frame, ipsec_policies: policies }),
};

/** The changes of one kind of policy, each of which returns the id. @throws ApiError */
export interface PolicyChanges {
  readonly create: (transaction: Transaction, call: Call, context: ApiContext) => string;
  readonly update: (transaction: Transaction, call: Call, context: ApiContext) => string;
  readonly delete: (transaction: Transaction, call: Call) => string;
}

export const ikePolicyChanges = changesOf(IKE);
export const ipsecPolicyChanges = changesOf(IPSEC);
export const ikePolicyOperations = operationsOf(IKE, IKE_ANSWERS, ikePolicyChanges);
export const ipsecPolicyOperations = operationsOf(IPSEC, IPSEC_ANSWERS, ipsecPolicyChanges);

function find<R extends Common, B extends PolicyBody>(
  { kind, word, label }: PolicyKind<R, B>,
  view: View,
  id: string,
): StoredObject<R> {
  const found = view.snapshot.get<R>(kind, id);
  if (found !== undefined) return found;
  throw new ApiError(404, `${word}_not_found`, `there is no ${label} with this id`);
}

function connectionsOf<R extends Common, B extends PolicyBody>(
  { usedBy }: PolicyKind<R, B>,
  view: View,
  id: string,
) {
  return view.connections().filter(({ value }) => value[usedBy] === id);
}

function changesOf<R extends Common, B extends PolicyBody>(kind: PolicyKind<R, B>): PolicyChanges {
  const { path, word, label, audit, readers } = kind;
  const listOf = (view: View): readonly StoredObject<R>[] => view.snapshot.list<R>(kind.kind);
  const checkNameLater = (transaction: Transaction, id: string): void =>
    transaction.later(`name of ${id}`, (view) => checkName(id, listOf(view), `${word}_duplicate_name`));
  return {
    create(transaction, call, { site, now }) {
      const body = readers.of(call.dialect).create.read(call.body());
      for (const names of kind.categories) requireEither(body, names);
      const { name = newName(namesOf(listOf(transaction.view))) } = body;
      const resourceGroup = resourceGroupOf(body.resource_group, site);
      const common = { name, createdAt: now().toISOString(), resourceGroup };
      const { record, issues } = kind.build(body, common, undefined, site.profile);
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
      const body = readers.of(call.dialect).patch.read(call.body());
      const { createdAt, resourceGroup } = before;
      const common = { name: body.name ?? before.name, createdAt, resourceGroup };
      const { record, issues } = kind.build(body, common, before, site.profile);
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

function operationsOf<
  R extends Common,
  B extends PolicyBody,
  One extends NamedSchema,
  Page extends NamedSchema,
>(
  kind: PolicyKind<R, B>,
  answers: PolicyAnswers<R, One, Page>,
  changes: PolicyChanges,
): readonly Operation[] {
  return [...listAndCreate(kind, answers, changes), ...onePolicy(kind, answers, changes)];
}

function listAndCreate<
  R extends Common,
  B extends PolicyBody,
  One extends NamedSchema,
  Page extends NamedSchema,
>(
  kind: PolicyKind<R, B>,
  answers: PolicyAnswers<R, One, Page>,
  changes: PolicyChanges,
): readonly Operation[] {
  const { path, word, label } = kind;
  return [
    operation<{ readonly 200: Page }>({
      tag: label,
      method: 'GET',
      path: `/${path}`,
      id: `list_${path}`,
      summary: `List the ${label} objects`,
      query: PAGE_QUERY,
      success: { 200: answers.pageSchema },
      errors: [400],
      async handle(call, { store }) {
        const view = new View(await store.snapshot());
        const rows = view.snapshot.list<R>(kind.kind).map((item) => ({ item, key: byAge(item) }));
        const url = `${call.links.base}/${path}`;
        const { items, frame } = pageOf(rows, readPage(call.query, 50), true, url, {});
        const list = items.map((item) => answers.answer(item, view, call.links, call.dialect));
        return answered(200, answers.page(frame, list));
      },
    }),
    operation<{ readonly 201: One }>({
      tag: label,
      method: 'POST',
      path: `/${path}`,
      id: `create_${word}`,
      summary: `Create an ${label}`,
      body: kind.bodies.create,
      success: { 201: answers.schema },
      errors: [400, 404, 409],
      handle: (call, context) =>
        context.writes.run(
          call.actor,
          (transaction) => changes.create(transaction, call, context),
          (id, view) => answered(201, answerOf(kind, answers, id, view, call)),
        ),
    }),
  ];
}

function onePolicy<R extends Common, B extends PolicyBody, One extends NamedSchema>(
  kind: PolicyKind<R, B>,
  answers: Pick<PolicyAnswers<R, One, NamedSchema>, 'schema' | 'answer'>,
  changes: PolicyChanges,
): readonly Operation[] {
  const { path, word, label } = kind;
  const shared = { tag: label, path: `/${path}/:id` };
  return [
    operation<{ readonly 200: One }>({
      ...shared,
      method: 'GET',
      id: `get_${word}`,
      summary: `Retrieve an ${label}`,
      success: { 200: answers.schema },
      errors: [404],
      async handle(call, { store }) {
        const view = new View(await store.snapshot());
        return answered(200, answerOf(kind, answers, call.params.id!, view, call));
      },
    }),
    operation<{ readonly 200: One }>({
      ...shared,
      method: 'PATCH',
      id: `update_${word}`,
      summary: `Update an ${label}`,
      body: kind.bodies.patch,
      success: { 200: answers.schema },
      errors: [400, 404, 409],
      handle: (call, context) =>
        context.writes.run(
          call.actor,
          (transaction) => changes.update(transaction, call, context),
          (id, view) => answered(200, answerOf(kind, answers, id, view, call)),
        ),
    }),
    operation({
      ...shared,
      method: 'DELETE',
      id: `delete_${word}`,
      summary: `Delete an ${label}`,
      success: { 204: null },
      errors: [404, 409],
      handle: (call, { writes }) =>
        writes.run(
          call.actor,
          (transaction) => changes.delete(transaction, call),
          () => done(204),
        ),
    }),
    usersOf(kind),
  ];
}

function usersOf<R extends Common, B extends PolicyBody>(kind: PolicyKind<R, B>): Operation {
  const { path, word, label } = kind;
  return operation({
    tag: label,
    method: 'GET',
    path: `/${path}/:id/connections`,
    id: `list_${word}_connections`,
    summary: `List the connections that use an ${label}`,
    query: PAGE_QUERY,
    success: { 200: Connections },
    errors: [400, 404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const { id } = find(kind, view, call.params.id!);
      const url = `${call.links.base}/${path}/${id}/connections`;
      return pageOfConnections(connectionsOf(kind, view, id), view, call, context, url, 50);
    },
  });
}

function answerOf<R extends Common, B extends PolicyBody, One extends NamedSchema>(
  kind: PolicyKind<R, B>,
  { answer }: Pick<PolicyAnswers<R, One, NamedSchema>, 'answer'>,
  id: string,
  view: View,
  call: Call,
): BodyOf<One> {
  return answer(find(kind, view, id), view, call.links, call.dialect);
}

function requireEither(body: object, { one, many }: { readonly one: string; readonly many: string }): void {
  if (Object.hasOwn(body, one) || Object.hasOwn(body, many)) return;
  throw badField(one, 'validation_required_field', `is missing: give it, or ${many}`);
}

function categoriesOf(kind: keyof typeof ALGORITHM_FIELDS) {
  const { encryption, authentication, groups } = ALGORITHM_FIELDS[kind];
  return [authentication, encryption, groups];
}
