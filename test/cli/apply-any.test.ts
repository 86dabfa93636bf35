import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type Current, type KnownGateway, readCurrent } from '../../src/cli/declarative/current.js';
import { type Document, readDocument } from '../../src/cli/declarative/document.js';
import { check, execute } from '../../src/cli/declarative/execute.js';
import { exportText } from '../../src/cli/declarative/export.js';
import { makePlan, type Plan } from '../../src/cli/declarative/plan.js';
import { CliError } from '../../src/cli/errors.js';
import { ApiClient } from '../../src/cli/vpn/api-client.js';
import type { Snapshot, Store } from '../../src/store/store.js';
import { ApiLab, SITE } from '../helpers/api-lab.js';
import { type DocumentInput, documents, slips } from '../helpers/arbitrary-documents.js';
import { faultsOfDocument, faultsOfState } from '../helpers/legal-state.js';
import { openMemoryStore } from '../helpers/memory-store.js';

const THIRD = {
  id: '0717-sub3',
  name: 'subnet-3',
  vpc: 'vpc-one',
  zone: 'us-south-1',
  cidr: '192.168.101.0/24',
  public_addresses: ['169.61.163.1', '169.61.163.2', '169.61.163.3', '169.61.163.4'],
};
/** As tight as the documents are: what is in the way of the end counts for nothing. */
const QUOTAS = {
  gateways_per_zone: 3,
  gateways_per_region: 3,
  route_gateways_per_zone_and_vpc: 3,
  connections_per_gateway: 4,
  ike_policies: 3,
  ipsec_policies: 2,
};
const subnets = [...SITE.subnets, THIRD];
const vpcOf = (subnet: string): string => subnets.find(({ name }) => name === subnet)!.vpc;

/** A store that keeps every state it was in. */
function rememberingStore(): { store: Store; states: Snapshot[] } {
  const inner = openMemoryStore();
  const states: Snapshot[] = [];
  const store: Store = {
    snapshot: () => inner.snapshot(),
    commit: async (changes, options) => {
      const revision = await inner.commit(changes, options);
      states.push(await inner.snapshot());
      return revision;
    },
    watch: (after, listener) => inner.watch(after, listener),
    notes: (after, limit) => inner.notes(after, limit),
    probe: () => inner.probe(),
    close: () => inner.close(),
  };
  return { store, states };
}

async function open(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-any-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { store, states } = rememberingStore();
  const lab = await ApiLab.open(t, { store, site: { subnets, quotas: QUOTAS } });
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const api = new ApiClient({ endpoint: `unix:${socketPath}`, seconds: 60 });
  /** The plan that was carried out. @throws CliError */
  const apply = async (document: Document): Promise<Plan> => {
    const current = await readCurrent(api);
    const plan = makePlan(document, current, true);
    await check(plan, document, api);
    await execute(plan, document, current, api);
    return plan;
  };
  return { lab, api, states, apply };
}

function read(text: string): Document {
  const document = readDocument(text, () => '');
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  return document.value;
}

const byName = <T extends { readonly name: string }>(items: readonly T[]): T[] =>
  [...items].sort((a, b) => (a.name < b.name ? -1 : 1));

/** What two states are compared by: no order of objects and networks. */
function normal(document: Pick<Document, 'ikePolicies' | 'ipsecPolicies' | 'gateways'>) {
  return {
    ikePolicies: byName(document.ikePolicies),
    ipsecPolicies: byName(document.ipsecPolicies),
    gateways: byName(document.gateways).map((gateway) => ({
      ...gateway,
      connections: byName(gateway.connections).map((one) => ({
        ...one,
        distribute_traffic: gateway.mode === 'route' && one.distribute_traffic,
        local: { ...one.local, cidrs: [...one.local.cidrs].sort() },
        peer: { ...one.peer, cidrs: [...one.peer.cidrs].sort() },
      })),
    })),
  };
}

/** Ids by the names under which documents know the objects. */
function idsOf({ ikePolicies, ipsecPolicies, gateways }: Current): Map<string, string> {
  const place = ({ vpc, wish }: KnownGateway): string => `${vpc} ${wish.subnet} ${wish.mode} ${wish.name}`;
  return new Map([
    ...ikePolicies.map(({ id, wish }) => [`ike ${wish.name}`, id] as const),
    ...ipsecPolicies.map(({ id, wish }) => [`ipsec ${wish.name}`, id] as const),
    ...gateways.flatMap((gateway) => [
      [place(gateway), gateway.id] as const,
      ...gateway.connections.map(({ id, wish }) => [`${place(gateway)} ${wish.name}`, id] as const),
    ]),
  ]);
}

t.test('from any document to any other', async (t) => {
  const { lab, api, states, apply } = await open(t);
  const counts = { reached: 0, refused: 0, kept: 0 };

  const step = async (input: DocumentInput): Promise<void> => {
    const document = read(JSON.stringify(input));
    const before = await readCurrent(api);
    const { revision } = await lab.store.snapshot();
    const faults = faultsOfDocument(input, vpcOf);
    states.length = 0;
    let plan: Plan;
    try {
      plan = await apply(document);
    } catch (error) {
      if (!(error instanceof CliError) || faults.length === 0) throw error;
      counts.refused++;
      if ((await lab.store.snapshot()).revision !== revision) throw new Error('refused, and yet changed');
      return;
    }
    if (faults.length > 0) throw new Error(`not refused: ${faults.join('; ')}`);
    counts.reached++;
    for (const state of states) {
      const wrong = faultsOfState(state);
      if (wrong.length > 0) throw new Error(`an illegal state was stored: ${wrong.join('; ')}`);
    }
    const after = await readCurrent(api);
    const exported = normal(read(exportText(after, true)));
    if (JSON.stringify(exported) !== JSON.stringify(normal(document))) {
      throw new Error(`reached is ${JSON.stringify(exported)}, not ${JSON.stringify(normal(document))}`);
    }
    const ids = idsOf(after);
    for (const [name, id] of idsOf(before)) {
      const now = ids.get(name);
      if (now === undefined) continue;
      if (now !== id) throw new Error(`${name} was deleted and made anew`);
      counts.kept++;
    }
    const again = makePlan(document, after, true);
    if (again.changes.length > 0) throw new Error(`a second time: ${JSON.stringify(again.changes)}`);
    const commits = (await lab.store.notes(revision, 1000)).filter(
      ({ note }) => (note as { request_id: string }).request_id !== 'lifecycle',
    );
    const due = (plan.deletions.length > 0 ? 1 : 0) + (plan.steps.length > 0 ? 1 : 0);
    if (commits.length !== due) throw new Error(`${commits.length} commits and not ${due}`);
  };

  await fc.assert(
    fc.asyncProperty(documents, documents, slips, async (from, to, slip) => {
      await step({ ike_policies: [], ipsec_policies: [], vpn_gateways: [] });
      await step(from);
      await step(to);
      await step(slip(to));
    }),
    { numRuns: 50 },
  );
  t.ok(counts.reached > 80 && counts.refused > 5 && counts.kept > 20, JSON.stringify(counts));
});
